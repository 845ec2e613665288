"""What is put together, and nothing else: API, control API, worker, command line."""
