"""The shards' counts of orders, from which order and ticket numbers are made."""

from __future__ import annotations

from redis.asyncio import Redis

from engine.store import keys
from engine.store.client import get


async def raise_sequence(client: Redis, shard: int, least: int) -> None:
    """See to it that the next order of a shard is counted above ``least``.

    Only ever adds: whoever counts at the same time gets a number of his own,
    and one that is skipped does no harm. Raises ``RedisError``.
    """
    missing = least - int(await get(client, keys.sequence(shard)) or 0)
    if missing > 0:
        await client.incrby(keys.sequence(shard), missing)
