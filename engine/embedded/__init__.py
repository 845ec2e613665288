"""Servers for development and tests; the product itself never imports this package."""
