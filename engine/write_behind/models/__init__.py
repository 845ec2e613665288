"""Tables of what records become: orders, events of queues, dead letters."""
