"""The catalogue: seating plans, event documents, loading, publication."""
