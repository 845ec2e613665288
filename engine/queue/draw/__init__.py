"""The draw: numbers that anybody can verify."""
