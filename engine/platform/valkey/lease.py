"""Leases: work that one process at a time does, for as long as it says that it is alive.

A lease is measured by the clock of Redis alone. Its fence grows with every
change of owner: who writes under a lease sends the fence along, and what is
written refuses one that is older than the last it has seen. So a process that
believes, after a long pause, that the lease is still its own does no harm.
"""

from __future__ import annotations

from typing import Final

import msgspec
from redis.asyncio import Redis

from engine.core.errors import InvalidRequestError
from engine.platform.valkey.codes import Code
from engine.platform.valkey.connections import run_one

ADMISSION: Final = "onsale:lease:admission"  # who calls people out of the waiting rooms
TTL_MS_MAX: Final = 60_000


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """A lease that was granted, for ``ttl_ms``."""

    fence: int
    ttl_ms: int


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """Another has the lease, for ``left_ms`` if it is not renewed."""

    left_ms: int


async def take(
    client: Redis, key: str, owner: str, ttl_ms: int, *, above: int = 0
) -> Lease | Taken:
    """Take or renew a lease for ``owner`` (32 hex).

    ``above``: a fence that was seen where the work is done; ours will be above
    it even if the lease was lost with the store. Raises ``InvalidRequestError``
    unless 1 <= ttl_ms <= ``TTL_MS_MAX``, ``RedisError``.
    """
    answer = await run_one(client, "lease_take", key, [owner, ttl_ms, above])
    if answer[0] == Code.CONFLICT:
        return Taken(left_ms=answer[1])
    if answer[0] != Code.OK:
        raise InvalidRequestError(f"no lease can be taken for {ttl_ms} ms by {owner!r}")
    return Lease(fence=answer[1], ttl_ms=answer[2])


async def release(client: Redis, key: str, owner: str) -> None:
    """Give a lease back; nothing happens if it is another's. Raises ``RedisError``."""
    answer = await run_one(client, "lease_release", key, [owner])
    if answer[0] != Code.OK:
        raise InvalidRequestError(f"{owner!r} owns no lease")
