"""The waiting room's documents: written at publication, read by whoever shows or moves the line."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import msgspec
from redis.asyncio import Redis

from engine.platform.valkey import keys
from engine.platform.valkey.connections import get
from engine.platform.valkey.packing import pack, unpack
from engine.queue.documents import Draw, Queue
from engine.queue.draw.numbers import LEAF_BYTES, SEED_BYTES, commitment
from engine.sale.errors import OccurrenceUnknownError
from engine.sale.inventory.inspection import readable
from engine.sale.inventory.snapshot import Snapshot

ROSTER_PAGE_MAX = 65_536  # places: 1 MiB
_PAGE = 1_000
NAMES = ("queue", "places", "roster", "slow", "reserved", "given_up", "called", "draw")
"""The keys of a line, after the occurrence's prefix: they outlive a rebuild of the stock."""

_queue = msgspec.msgpack.Decoder(Queue)
_draw = msgspec.msgpack.Decoder(Draw)


Packed = tuple[bytes | None, bytes | None]
"""``P:queue`` and ``P:clock``: while they stay the same, nothing was done to a line."""


class QueueState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The line at one moment. ``now_ms``: sale clock; ``wall_ms``: wall clock of the store.

    ``called``: numbers that have been called and may still enter. ``packed``: what it was
    read of, as :func:`glance` reads it.
    """

    queue: Queue
    packed: Packed
    paused: bool
    now_ms: int
    wall_ms: int
    called: int


def decode_queue(packed: bytes) -> Queue:
    """Return the line of a document ``P:queue``. Raises ``msgspec.MsgspecError``."""
    return _queue.decode(packed)


def settings_of(snapshot: Snapshot) -> dict[str, Any]:
    """Return the members of :class:`Queue` that publication decides."""
    room = snapshot.room
    return {
        "on": room.on,
        "opens": snapshot.sale_starts_at if room.opens_at is None else room.opens_at,
        "pre_ms": room.pre_queue_ms,
        "rate": room.rate,
        "rate_ms": room.rate_ms,
        "cap": room.cap,
        "claim_ms": room.claim_ms,
        "shop_ms": room.shop_ms,
    }


def changed_settings(old: Snapshot, new: Snapshot) -> dict[str, Any]:
    """Return what an edit changes of the room; what it leaves alone stays as operators set it."""
    before = settings_of(old)
    return {name: value for name, value in settings_of(new).items() if value != before[name]}


def packed_queue(snapshot: Snapshot) -> bytes:
    """Return the line as it begins: empty."""
    return pack(msgspec.structs.asdict(Queue(phase="planned", **settings_of(snapshot))))


def packed_draw() -> bytes:
    """Return a draw to come, with a new secret seed."""
    seed = secrets.token_bytes(SEED_BYTES)
    return pack(msgspec.structs.asdict(Draw(seed=seed.hex(), commitment=commitment(seed))))


async def read_queue(client: Redis, shard: int, occurrence: str) -> QueueState:
    """Return the line as it stands. Raises ``OccurrenceUnknownError``."""
    place = keys.prefix(shard, occurrence)
    async with client.pipeline(transaction=True) as pipe:
        pipe.mget(f"{place}:queue", f"{place}:clock")
        pipe.zcard(f"{place}:called")
        pipe.time()
        with readable(occurrence):
            (queue, clock), called, (seconds, micros) = await pipe.execute()
    if queue is None or clock is None:
        raise OccurrenceUnknownError
    wall = seconds * 1000 + micros // 1000
    with readable(occurrence):
        paused_since, paused_ms, *_ = unpack(clock)
        return QueueState(
            queue=_queue.decode(queue),
            packed=(queue, clock),
            paused=paused_since > 0,
            now_ms=(paused_since or wall) - paused_ms,
            wall_ms=wall,
            called=called,
        )


async def read_draw(client: Redis, shard: int, occurrence: str) -> Draw:
    """Return the draw, secret seed included. Raises ``OccurrenceUnknownError``."""
    with readable(occurrence):
        packed = await get(client, f"{keys.prefix(shard, occurrence)}:draw")
        if packed is None:
            raise OccurrenceUnknownError
        return _draw.decode(packed)


async def read_roster(client: Redis, shard: int, occurrence: str, start: int, count: int) -> bytes:
    """Return the leaves of ``count`` places (``ROSTER_PAGE_MAX`` at most) from index ``start``.

    Fewer where the roster ends. What is beyond the draw is not evidence of anything.
    """
    count = min(count, ROSTER_PAGE_MAX)
    leaves = await client.getrange(
        f"{keys.prefix(shard, occurrence)}:roster",
        start * LEAF_BYTES,
        (start + count) * LEAF_BYTES - 1,
    )
    return cast("bytes", leaves)  # the library's types do not know of undecoded replies


async def iter_places(client: Redis, shard: int, occurrence: str) -> AsyncIterator[dict[str, int]]:
    """Yield all places, buyer -> index as Lua keeps it, in pages; some may come twice."""
    page: dict[str, int] = {}
    async for buyer, index in client.hscan_iter(
        f"{keys.prefix(shard, occurrence)}:places", count=_PAGE
    ):
        page[cast("bytes", buyer).hex()] = int(index)
        if len(page) >= _PAGE:
            yield page
            page = {}
    if page:
        yield page


async def restore_line(client: Redis, place: str, snapshot: Snapshot) -> bool:
    """Keep a line whose stock was rebuilt, or begin it anew; returns whether the room is on.

    The buyers' documents were written anew, so nobody is inside any more.
    """
    packed = await get(client, f"{place}:queue")
    if packed is not None and await client.exists(f"{place}:draw"):
        queue = _queue.decode(packed)
        queue.inside = 0
        await client.set(f"{place}:queue", pack(msgspec.structs.asdict(queue)))
        return queue.on
    await client.delete(*(f"{place}:{name}" for name in NAMES))
    await client.mset({f"{place}:queue": packed_queue(snapshot), f"{place}:draw": packed_draw()})
    return snapshot.room.on


async def read_rooms_on(client: Redis, places: Sequence[str]) -> list[bool]:
    """Return for each occurrence (its keys' prefix) whether its room is on: one round trip."""
    clocks, _ = await _read_all(client, places, ("clock",))
    return [_is_on(clock) for (clock,) in clocks]


async def glance(client: Redis, places: Sequence[str]) -> tuple[list[Packed], int]:
    """Return what tells whether something was done to each of many lines, and the wall clock in ms.

    One round trip; an occurrence that is gone has nothing.
    """
    found, wall_ms = await _read_all(client, places, ("queue", "clock"))
    return [(queue, clock) for queue, clock in found], wall_ms


async def _read_all(
    client: Redis, places: Sequence[str], names: Sequence[str]
) -> tuple[list[list[bytes | None]], int]:
    """Return documents of many occurrences, with as few commands as there are shards."""
    shards: dict[str, list[int]] = {}
    for number, place in enumerate(places):
        shards.setdefault(place.partition(":")[0], []).append(number)
    async with client.pipeline(transaction=False) as pipe:
        pipe.time()
        for numbers in shards.values():
            pipe.mget([f"{places[number]}:{name}" for number in numbers for name in names])
        (seconds, micros), *replies = await pipe.execute()
    found: list[list[bytes | None]] = [[] for _ in places]
    for numbers, reply in zip(shards.values(), replies, strict=True):
        for at, number in enumerate(numbers):
            found[number] = reply[at * len(names) : (at + 1) * len(names)]
    return found, seconds * 1000 + micros // 1000


def _is_on(clock: Any) -> bool:
    """Tell whether a clock says that a hold needs a pass; one that cannot be read does not."""
    try:
        return isinstance(clock, bytes) and bool(unpack(clock)[2])
    except (ValueError, TypeError, LookupError):
        return False
