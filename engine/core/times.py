"""Times as the outside world reads them. Inside, a time is integer ms since the epoch (UTC)."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache


@lru_cache(maxsize=4096)  # the answers of a batch name the same few moments
def rfc3339(time_ms: int) -> str:
    """Return ms since the epoch as ``2026-11-20T19:30:00.000Z`` (RFC 3339, always UTC and ms)."""
    seconds, ms = divmod(time_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03d}Z"
