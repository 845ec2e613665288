"""Reads the Redis side of a sale as a whole: for the audit, the rebuild, and new processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, cast

import msgspec
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from engine.platform.valkey import keys
from engine.platform.valkey.connections import get, hgetall, mget
from engine.platform.valkey.packing import unpack
from engine.sale.documents import Hold, Order
from engine.sale.errors import OccurrenceUnknownError, OccurrenceUnreadableError
from engine.sale.inventory.packed_snapshots import decode_snapshot
from engine.sale.inventory.snapshot import Snapshot

NO_SHARD: Final = -1  # of an entry that names none: no occurrence lives there
_PAGE = 500
_order = msgspec.msgpack.Decoder(Order)
_hold = msgspec.msgpack.Decoder(Hold)


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """What the scripts know of an occurrence, as far as others need it."""

    version: int
    names: list[str]
    capacities: list[int]


class Counter(msgspec.Struct, frozen=True, kw_only=True):
    """A pool of stock as it stands: available + held + sold + blocked = capacity."""

    key: str
    capacity: int
    free: int
    held: int
    sold: int
    blocked: int


class SaleClock(msgspec.Struct, frozen=True, kw_only=True):
    """``paused_since``: wall-clock ms, 0: it runs. ``paused_ms``: earlier pauses in all."""

    paused_since: int
    paused_ms: int


@contextmanager
def readable(occurrence: str) -> Iterator[None]:
    """Raise :class:`OccurrenceUnreadableError` for a document that is not what it should be.

    That is one of another Redis type, or one that cannot be decoded. When the
    server is away its own error passes.
    """
    try:
        yield
    except ResponseError as error:
        if "WRONGTYPE" not in str(error):
            raise
        raise _unreadable(occurrence, error) from error
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise _unreadable(occurrence, error) from error


def _unreadable(occurrence: str, error: Exception) -> OccurrenceUnreadableError:
    return OccurrenceUnreadableError(
        f"what Redis has of occurrence {occurrence} cannot be read ({error}):"
        f" restore it with `onsale rebuild {occurrence} --force`"
    )


async def published(client: Redis) -> dict[str, int]:
    """Return all occurrences that are published, with their shards (``NO_SHARD``: none named)."""
    found = await hgetall(client, keys.OCCURRENCES)
    return {name.decode(errors="replace"): _shard(shard) for name, shard in found.items()}


def _shard(stored: bytes) -> int:
    return int(stored) if stored.isdigit() and int(stored) < keys.SHARD_COUNT else NO_SHARD


async def shard_of(client: Redis, occurrence: str) -> int:
    """Return the shard of an occurrence. Raises ``OccurrenceUnknownError``."""
    shard = cast("bytes | None", await client.hget(keys.OCCURRENCES, occurrence))
    if shard is None:
        raise OccurrenceUnknownError(f"occurrence {occurrence} is not published")
    return _shard(shard)


async def read_snapshot(client: Redis, occurrence: str) -> Snapshot:
    """Return the snapshot the sale runs on. Raises ``OccurrenceUnknownError``."""
    return await read_snapshot_at(client, await shard_of(client, occurrence), occurrence)


async def read_snapshot_at(client: Redis, shard: int, occurrence: str) -> Snapshot:
    """Return the same of an occurrence that may not be listed yet."""
    with readable(occurrence):
        packed = await get(client, f"{keys.prefix(shard, occurrence)}:snapshot")
        if packed is None:
            raise OccurrenceUnknownError(f"occurrence {occurrence} is not published")
        return await asyncio.to_thread(decode_snapshot, packed)


async def read_configuration(client: Redis, shard: int, occurrence: str) -> Configuration:
    """Return the scripts' configuration. Raises ``OccurrenceUnknownError``."""
    with readable(occurrence):
        prefix = keys.prefix(shard, occurrence)
        packed = await get(client, f"{prefix}:conf")
        if packed is None and await get(client, f"{prefix}:withdrawn") is not None:
            raise OccurrenceUnknownError(
                f"occurrence {occurrence} is off sale because it is being rebuilt: unless that goes"
                f" on, run `onsale rebuild {occurrence}` again"
            )
        if packed is None:
            raise OccurrenceUnknownError(f"occurrence {occurrence} is not published")
        return unpack_configuration(packed)


def unpack_configuration(packed: bytes) -> Configuration:
    """Return a configuration as the scripts keep it."""
    # its ticket types are packed on their own and are no text: only the rest is decoded
    values: dict[bytes, Any] = unpack(packed)
    return Configuration(
        version=values[b"version"],
        names=[name.decode() for name in values[b"names"]],
        capacities=values[b"capacities"],
    )


async def read_counters(client: Redis, shard: int, occurrence: str) -> list[Counter]:
    """Return every counter as it stands."""
    prefix = keys.prefix(shard, occurrence)
    with readable(occurrence):
        conf, stock = await mget(client, [f"{prefix}:conf", f"{prefix}:stock"])
        if conf is None or stock is None:
            await read_configuration(client, shard, occurrence)  # says more, if it can
            raise OccurrenceUnknownError(f"occurrence {occurrence} is not published")
        return read_counters_of(conf, stock)


def read_counters_of(conf: bytes, packed_stock: bytes) -> list[Counter]:
    """Return every counter of a packed configuration and a packed stock."""
    configuration = unpack_configuration(conf)
    stock: list[int] = unpack(packed_stock)
    return [
        Counter(
            key=name,
            capacity=capacity,
            free=stock[i * 4 + 1],
            held=stock[i * 4 + 2],
            sold=stock[i * 4 + 3],
            blocked=stock[i * 4 + 4],
        )
        for i, (name, capacity) in enumerate(
            zip(configuration.names, configuration.capacities, strict=True)
        )
    ]


async def read_seats(client: Redis, shard: int, occurrence: str) -> list[bytes]:
    """Return the sections' strings: '.' free, 'h' held, 's' sold, 'x' blocked, '|' between rows."""
    snapshot = await read_snapshot(client, occurrence)
    if not snapshot.sections:
        return []
    prefix = keys.prefix(shard, occurrence)
    found = await mget(client, [f"{prefix}:seats:{i}" for i in range(len(snapshot.sections))])
    return [string or b"" for string in found]


async def read_clock(client: Redis, shard: int, occurrence: str) -> SaleClock:
    """Return how the sale clock differs from the wall clock."""
    with readable(occurrence):
        packed = await get(client, f"{keys.prefix(shard, occurrence)}:clock")
        since, total, *_ = unpack(packed) if packed else (0, 0)
        return SaleClock(paused_since=since, paused_ms=total)


async def read_deadlines(client: Redis, shard: int, occurrence: str) -> dict[str, int]:
    """Return all deadlines, sale-clock ms, by member.

    "h" and the buyer: of his hold, "o" and the order, "p" and the buyer: of his pass.
    """
    found: dict[str, int] = {}
    async for member, score in client.zscan_iter(
        f"{keys.prefix(shard, occurrence)}:due", count=_PAGE
    ):
        found[member.decode()] = int(score)
    return found


async def read_followed(client: Redis, shard: int, occurrence: str) -> dict[str, float]:
    """Return the orders whose money is followed, by id: when it is looked at next.

    Wall-clock ms; infinite where a person must look.
    """
    found: dict[str, float] = {}
    key = f"{keys.prefix(shard, occurrence)}:money"
    async for member, score in client.zscan_iter(key, count=_PAGE):
        found[member.decode()] = float(score)
    return found


async def iter_orders(client: Redis, shard: int, occurrence: str) -> AsyncIterator[Order]:
    """Yield every order of the occurrence once; pages of SCAN, so not for a hot path."""
    async for packed in _documents(client, f"{keys.prefix(shard, occurrence)}:o:"):
        yield _order.decode(packed)


async def iter_holds(
    client: Redis,
    shard: int,
    occurrence: str,
    unreadable: Callable[[Exception], None] | None = None,
) -> AsyncIterator[Hold]:
    """Yield every active hold of the occurrence once; pages of SCAN over all of its buyers.

    ``unreadable``: told of what makes no sense, which is left out; without it that is raised.
    """
    async for packed in _documents(client, f"{keys.prefix(shard, occurrence)}:b:"):
        try:
            hold = unpack(packed)[b"hold"]
            decoded = _hold.decode(hold) if hold else None
        except (ValueError, KeyError, TypeError) as error:
            if unreadable is None:
                raise
            unreadable(error)
            continue
        if decoded is not None:
            yield decoded


async def passes(client: Redis, shard: int, occurrence: str) -> dict[str, int]:
    """Return the numbers of the places of all who are inside, by buyer; pages of SCAN."""
    found: dict[str, int] = {}
    prefix = f"{keys.prefix(shard, occurrence)}:b:"
    async for key in client.scan_iter(match=f"{prefix}*", count=_PAGE):
        packed = await get(client, key.decode())
        document = unpack(packed) if packed else {}
        number, _, how = document.get(b"pass") or (0, 0, b"none")
        if not how:
            found[key.decode().removeprefix(prefix)] = number
    return found


async def _documents(client: Redis, prefix: str) -> AsyncIterator[bytes]:
    seen: set[bytes] = set()  # SCAN may name a key twice
    page: list[bytes] = []
    async for key in client.scan_iter(match=f"{prefix}*", count=_PAGE):
        if key in seen:
            continue
        seen.add(key)
        page.append(key)
        if len(page) >= _PAGE:
            for value in await mget(client, page):
                if value is not None:
                    yield value
            page = []
    if page:
        for value in await mget(client, page):
            if value is not None:
                yield value
