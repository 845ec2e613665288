"""Onsale: a flash-sale engine for ticketed events."""
