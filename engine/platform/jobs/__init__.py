"""Runs periodic services side by side."""
