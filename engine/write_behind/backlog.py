"""How much PostgreSQL does not have yet."""

from __future__ import annotations

import msgspec
from redis.asyncio import Redis

from engine.platform.valkey.keys import STREAMS


class Backlog(msgspec.Struct, frozen=True, kw_only=True):
    """``records``: in all streams; ``lag_s``: the age of the oldest, 0 when there is none."""

    records: int
    lag_s: float


async def read_backlog(client: Redis) -> Backlog:
    """Return the backlog. Written records are deleted, so what is in a stream is unwritten.

    Raises ``RedisError``.
    """
    async with client.pipeline(transaction=False) as pipe:
        pipe.time()
        for stream in STREAMS:
            pipe.xlen(stream)
            pipe.xrange(stream, count=1)
        (seconds, micros), *answers = await pipe.execute()
    oldest = [int(page[0][0].split(b"-")[0]) for page in answers[1::2] if page]
    now_ms = seconds * 1000 + micros // 1000
    return Backlog(
        records=sum(answers[0::2]),
        lag_s=max((now_ms - min(oldest)) / 1000, 0.0) if oldest else 0.0,
    )
