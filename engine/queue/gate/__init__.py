"""What joining takes: proof of work and budgets."""
