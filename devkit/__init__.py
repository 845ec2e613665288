"""Servers, look-alikes and buyers for development and tests; not in the wheel."""
