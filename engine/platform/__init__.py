"""Machinery that knows no feature: HTTP, Valkey, PostgreSQL, jobs, telemetry."""
