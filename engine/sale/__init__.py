"""The sale: stock, holds, orders and their money. It never waits for PostgreSQL."""
