"""Proves that Valkey, PostgreSQL and the provider agree, and restores a sale."""
