"""Times as the outside world reads them. Inside, a time is integer ms since the epoch (UTC)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=4096)  # the answers of a batch name the same few moments
def rfc3339(time_ms: int) -> str:
    """Return ms since the epoch as ``2026-11-20T19:30:00.000Z`` (RFC 3339, always UTC and ms)."""
    seconds, ms = divmod(time_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03d}Z"


def moment_of(time_ms: int) -> datetime:
    """Return ms since the epoch as a time (UTC)."""
    return _EPOCH + timedelta(milliseconds=time_ms)


def local_time(moment: datetime, timezone: str) -> str:
    """Return ``Sat 01 May 2027 20:00 Europe/Berlin (UTC+02:00)``: as people there read it."""
    local = moment.astimezone(ZoneInfo(timezone))
    offset = local.strftime("%z")
    return f"{local:%a %d %b %Y %H:%M} {timezone} (UTC{offset[:3]}:{offset[3:5]})"
