"""Failures of reaching PostgreSQL."""

from __future__ import annotations

from engine.core.errors import OnsaleError


class DatabaseUnavailableError(OnsaleError):
    """PostgreSQL cannot be reached; the hot plane sells on, the control plane waits."""

    code, status, title = "database_unavailable", 503, "The database cannot be reached"
