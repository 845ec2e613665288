"""How fast numbers are called: the controller, the leader, what serving processes report."""
