"""What the workers say of themselves: the hash ``onsale:worker``, gone when they fall silent."""

from __future__ import annotations

from typing import Literal

import msgspec
from redis.asyncio import Redis

from engine.platform.valkey.connections import hgetall

_KEY = "onsale:worker"
SILENCE_S = 15  # after which no worker counts as alive; workers write every few seconds

PostgresState = Literal["up", "down", "unknown"]


class WorkerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Whether any worker is alive, and how it last found PostgreSQL."""

    alive: bool
    postgres: PostgresState


async def write_worker_status(client: Redis, *, postgres: PostgresState) -> None:
    """Say that a worker is alive, for the next ``SILENCE_S`` seconds. Raises ``RedisError``."""
    async with client.pipeline(transaction=True) as pipe:
        pipe.hset(_KEY, mapping={"postgres": postgres})
        pipe.expire(_KEY, SILENCE_S)
        await pipe.execute()


async def read_worker_status(client: Redis) -> WorkerStatus:
    """Return what the workers last said. Raises ``RedisError``."""
    found = await hgetall(client, _KEY)
    said = found.get(b"postgres", b"").decode()
    postgres: PostgresState = "up" if said == "up" else "down" if said == "down" else "unknown"
    return WorkerStatus(alive=bool(found), postgres=postgres)
