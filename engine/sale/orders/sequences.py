"""What of a shard must only ever grow: its count of orders, and the positions in its stream."""

from __future__ import annotations

from typing import Final

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from engine.platform.valkey import keys
from engine.platform.valkey.connections import get

_LAST: Final = 2**64 - 1  # of the records of a millisecond


async def raise_sequence(client: Redis, shard: int, least: int) -> None:
    """See to it that the next order of a shard is counted above ``least``.

    Only ever adds: whoever counts at the same time gets a number of his own,
    and one that is skipped does no harm. Raises ``RedisError``.
    """
    missing = least - int(await get(client, keys.sequence(shard)) or 0)
    if missing > 0:
        await client.incrby(keys.sequence(shard), missing)


async def raise_position(client: Redis, shard: int, least_ms: int) -> None:
    """See to it that the next record of a shard's stream comes after the millisecond ``least_ms``.

    A stream that was lost begins by the clock, which may have been set back
    since. Nobody reads what is added and deleted in one step.
    """
    stream = keys.stream(shard)
    async with client.pipeline(transaction=True) as pipe:
        pipe.xadd(stream, {"k": ""}, id=f"{least_ms}-{_LAST}")
        pipe.xdel(stream, f"{least_ms}-{_LAST}")
        try:
            await pipe.execute()
        except ResponseError as error:
            if "equal or smaller" not in str(error):
                raise  # else it is beyond that already
