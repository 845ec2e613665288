"""What everybody uses and what knows nobody: no I/O, no framework."""
