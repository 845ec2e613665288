"""PostgreSQL: models by noun, sessions and migrations. Importing this imports nothing else."""
