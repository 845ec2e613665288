"""Logs, metrics, and what workers say of themselves."""
