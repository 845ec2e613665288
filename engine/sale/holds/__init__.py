"""Holds: a buyer has stock for some minutes."""
