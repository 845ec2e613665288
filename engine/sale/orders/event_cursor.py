"""How far the provider's list of events has been read."""

from __future__ import annotations

from redis.asyncio import Redis

from engine.platform.valkey.connections import get
from engine.platform.valkey.keys import EVENT_CURSOR


async def read(client: Redis) -> int:
    """Return the time of the newest event that was looked at, seconds since the epoch; 0: none."""
    return int(await get(client, EVENT_CURSOR) or 0)


async def write(client: Redis, at_s: int) -> None:
    """Note it. Raises ``RedisError``."""
    await client.set(EVENT_CURSOR, at_s)
