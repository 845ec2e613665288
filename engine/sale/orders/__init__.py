"""Checkout, and what becomes of orders and their money."""
