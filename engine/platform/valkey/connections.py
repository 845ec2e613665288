"""Connections for everything that is not a batched command: reads, streams, publication."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import NoScriptError

from engine.platform.valkey import scripts
from engine.platform.valkey.packing import pack, unpack

_TURN_S = 5  # as long as a batched command may wait for its reply


def connect(url: str, *, connections_max: int = 16) -> Redis:
    """Return a client with a bounded pool; replies are bytes. Close it with ``aclose()``.

    When all connections are in use a call waits its turn, a few seconds at most.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        decode_responses=False,
        max_connections=connections_max,
        timeout=_TURN_S,
        socket_connect_timeout=2,
        socket_timeout=10,
        driver_info=None,  # else the library reads its version from disk at every connection
    )
    return Redis.from_pool(pool)


async def get(client: Redis, key: str) -> bytes | None:
    """Return a string, or None: replies are bytes, which the library's types do not know."""
    return cast("bytes | None", await client.get(key))


async def mget(client: Redis, names: Sequence[str | bytes]) -> list[bytes | None]:
    """Return many strings, in the order of their names."""
    return cast("list[bytes | None]", await client.mget(names))


async def hgetall(client: Redis, key: str) -> dict[bytes, bytes]:
    """Return a whole hash."""
    return cast("dict[bytes, bytes]", await client.hgetall(key))


async def run_script(client: Redis, name: str, prefix: str, argument: bytes) -> Any:
    """Run one script and return its unpacked answer (raw bytes within it)."""
    script = scripts.SCRIPTS[name]
    try:
        reply = await client.evalsha(script.sha, 1, prefix, argument)
    except NoScriptError:
        await client.script_load(script.text)
        reply = await client.evalsha(script.sha, 1, prefix, argument)
    return unpack(cast("bytes", reply))


async def run_one(client: Redis, name: str, prefix: str, request: list[Any]) -> list[Any]:
    """Run a batched command with a single request and return its answer ``[code, ...]``."""
    answers = await run_script(client, name, prefix, pack([request]))
    answer: list[Any] = answers[0]
    return answer
