"""Ways in which what Redis has of one published occurrence can be broken."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
from redis.asyncio import Redis

from engine.platform.valkey import keys
from engine.platform.valkey.connections import get
from engine.platform.valkey.packing import pack
from tests.houses import small_house

Breakage = Callable[[Redis, str, str], Awaitable[None]]  # client, prefix of the keys, occurrence


def _missing(*names: str) -> Breakage:
    async def breaks(client: Redis, place: str, occurrence: str) -> None:
        assert await client.delete(*(f"{place}:{name}" for name in names))

    return breaks


def _holds(name: str, value: bytes) -> Breakage:
    async def breaks(client: Redis, place: str, occurrence: str) -> None:
        await client.set(f"{place}:{name}", value)

    return breaks


def _list(name: str) -> Breakage:
    async def breaks(client: Redis, place: str, occurrence: str) -> None:
        await client.delete(f"{place}:{name}")
        await client.rpush(f"{place}:{name}", "x")

    return breaks


async def _all_gone(client: Redis, place: str, occurrence: str) -> None:
    await client.delete(*[key async for key in client.scan_iter(match=f"{place}:*")])


async def _removed(client: Redis, place: str, occurrence: str) -> None:
    await _all_gone(client, place, occurrence)
    await client.hdel(keys.OCCURRENCES, occurrence)
    await client.incr(keys.CATALOGUE)


async def _no_shard(client: Redis, place: str, occurrence: str) -> None:
    await client.hset(keys.OCCURRENCES, occurrence, "seven")


async def _other_shard(client: Redis, place: str, occurrence: str) -> None:
    await client.hset(keys.OCCURRENCES, occurrence, "99")


async def _of_another(client: Redis, place: str, occurrence: str) -> None:
    await client.set(f"{place}:snapshot", msgspec.msgpack.encode(small_house()))


async def _cut(client: Redis, place: str, occurrence: str) -> None:
    whole = await get(client, f"{place}:snapshot")
    assert whole
    await client.set(f"{place}:snapshot", whole[: len(whole) // 2])


UNREADABLE: dict[str, Breakage] = {
    "no keys": _all_gone,
    "conf missing": _missing("conf"),
    "snapshot missing": _missing("snapshot"),
    "half made": _missing("conf", "stock", "clock", "queue"),
    "conf is garbage": _holds("conf", b"\xc1garbage"),
    "conf is empty": _holds("conf", b""),
    "conf is a number": _holds("conf", pack(5)),
    "conf lacks members": _holds("conf", pack({"version": 1})),
    "conf is a list": _list("conf"),
    "snapshot is garbage": _holds("snapshot", b"\xc1garbage"),
    "snapshot is of another kind": _holds("snapshot", pack({"a": 1})),
    "snapshot is cut": _cut,
    "snapshot is a list": _list("snapshot"),
    "snapshot is another's": _of_another,
    "no shard": _no_shard,
    "a shard that there is not": _other_shard,
}
"""The occurrence cannot be read by a process that does not have it at hand."""

UNSWEEPABLE: dict[str, Breakage] = {
    "no keys": _all_gone,
    "conf is garbage": _holds("conf", b"\xc1garbage"),
    "stock is missing": _missing("stock"),
    "stock is garbage": _holds("stock", b"\xc1garbage"),
    "clock is garbage": _holds("clock", b"\xc1garbage"),
    "clock is a number": _holds("clock", pack(5)),
    "clock is a list": _list("clock"),
    "deadlines are a string": _holds("due", b"x"),
    "queue is garbage": _holds("queue", b"\xc1garbage"),
    "queue is a list": _list("queue"),
    "draw is garbage": _holds("draw", b"\xc1garbage"),
    "called is a string": _holds("called", b"x"),
    "removed": _removed,
}
"""Something of an occurrence that is at hand everywhere breaks while it is sold."""
