"""Writes the Redis side of an occurrence anew, from what PostgreSQL and the streams kept.

Not atomic, but it may be killed anywhere and done again:

- What says that it has begun is written first: the occurrence is noted as being
  rebuilt, and its configuration goes under another name. Without it the
  occurrence counts as not published, so every command is refused until all is
  there again and the configuration is the last thing to come back.
- What only Redis has (the clock of the sale with its pause, the line, holds) is
  never deleted, only written over with what it says.
- All else is deleted and made anew, from what PostgreSQL has.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterable, Callable, Iterable
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from engine.core.errors import ConflictError
from engine.platform.valkey import keys
from engine.platform.valkey.connections import get, hgetall
from engine.platform.valkey.packing import pack
from engine.queue import store as waiting
from engine.sale.documents import Hold, Line, Order
from engine.sale.inventory import layout
from engine.sale.inventory.inspection import Configuration, SaleClock, unpack_configuration
from engine.sale.inventory.snapshot import Snapshot
from engine.sale.orders.sequences import raise_sequence

_PAGE = 500
_BYTE_OF = {"held": b"h", "sold": b"s"}
_STATES_HELD = {"pending", "cancelling"}
_KEPT = ("clock", "snapshot", "withdrawn", *waiting.NAMES)
_KEPT_BUYERS = "b:"  # their documents have the holds


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """What was written. ``holds_dropped``: holds whose stock an order has."""

    orders: int
    holds: int
    holds_dropped: int


class _Stock:
    """The stock of an occurrence as lines are taken from it again."""

    def __init__(self, snapshot: Snapshot, known: list[str]) -> None:
        self.plan = layout.lay_out(snapshot)
        self.counters = layout.counters(snapshot, known)
        self.index_of = {counter.name: i for i, counter in enumerate(self.counters)}
        self.values = [1]
        for counter in self.counters:
            self.values += [counter.capacity - counter.blocked, 0, 0, counter.blocked]
        self.sections = [bytearray(section.seats) for section in self.plan.sections]
        self._snapshot = snapshot

    def take(self, lines: Iterable[Line], state: str) -> bool:
        """Take the lines as "held" or "sold"; False, and nothing taken, when they are not free."""
        lines = list(lines)
        seats = [
            pair for line in lines for pair in zip(line.seats[::2], line.seats[1::2], strict=True)
        ]
        if any(self.sections[section][at : at + 1] != b"." for section, at in seats):
            return False
        need: dict[int, int] = {}
        for line in lines:
            for counter in self._counters_of(line):
                need[counter] = need.get(counter, 0) + line.quantity
        if any(self.values[counter * 4 + 1] < n for counter, n in need.items()):
            return False
        for counter, n in need.items():
            self.values[counter * 4 + 1] -= n
            self.values[counter * 4 + (2 if state == "held" else 3)] += n
        for section, at in seats:
            self.sections[section][at : at + 1] = _BYTE_OF[state]
        return True

    def _counters_of(self, line: Line) -> list[int]:
        kind = self._snapshot.ticket_types[line.type]
        names = [f"quota:{self._snapshot.quotas[i].code}" for i in kind.quotas]
        if kind.category is not None:
            names.append(f"category:{self._snapshot.categories[kind.category].name}")
        tier = kind.tiers[line.tier]
        if tier.capacity is not None:
            names.append(f"tier:{kind.code}/{tier.code}")
        return [self.index_of[name] for name in names]


class _Pages:
    """Writes strings, many at a time."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._page: dict[str, bytes] = {}

    async def put(self, key: str, value: bytes) -> None:
        self._page[key] = value
        if len(self._page) >= _PAGE:
            await self.flush()

    async def flush(self) -> None:
        if self._page:
            await self._client.mset(self._page)
            self._page = {}


class _Restoration:
    """What has been restored of an occurrence so far."""

    def __init__(self, client: Redis, snapshot: Snapshot, prefix: str, stock: _Stock) -> None:
        self._types = len(snapshot.ticket_types)
        self._prefix = prefix
        self._stock = stock
        self._buyers: dict[str, dict[str, Any]] = {}
        self._due: dict[str, int] = {}
        self._followed: dict[str, float] = {}
        self._pages = _Pages(client)
        self._client = client

    async def add_order(self, order: Order) -> None:
        """Write an order and take its stock. Raises ``ConflictError``."""
        pending = order.state in _STATES_HELD
        if pending or order.state == "confirmed":
            if not self._stock.take(order.lines, "held" if pending else "sold"):
                raise ConflictError(
                    f"order {order.id} has stock that another order has too: "
                    "run `onsale audit` and look at both before rebuilding"
                )
            self._count(order.buyer, order.lines)
        if pending:
            self._due[f"o{order.id}"] = order.pay_by
        self._follow(order)
        await self._pages.put(f"{self._prefix}:o:{order.id}", msgspec.msgpack.encode(order))

    def _follow(self, order: Order) -> None:
        """Let the order's money be looked at as soon as it is on sale again."""
        followed = [m for m in order.payment.everything if m.is_followed] if order.payment else []
        if followed:
            raised = all(money.refund_state == "failed" for money in followed)
            self._followed[order.id] = math.inf if raised else 0

    def add_hold(self, hold: Hold) -> bool:
        """Note a hold with its buyer and take its stock; False when that is not free."""
        if not self._stock.take(hold.lines, "held"):
            return False
        self._count(hold.buyer, hold.lines)["hold"] = msgspec.msgpack.encode(hold)
        self._due[f"h{hold.buyer}"] = hold.expires
        return True

    async def finish(self) -> None:
        """Write the buyers over those that are there, and the deadlines."""
        for buyer, document in self._buyers.items():
            await self._pages.put(f"{self._prefix}:b:{buyer}", pack(document))
        await self._pages.flush()
        known = {f"{self._prefix}:b:{buyer}".encode() for buyer in self._buyers}
        await _delete(self._client, f"{self._prefix}:b:", lambda key: key not in known)
        for name, times in (("due", self._due), ("money", self._followed)):
            members = list(times.items())
            for at in range(0, len(members), _PAGE):
                await self._client.zadd(f"{self._prefix}:{name}", dict(members[at : at + _PAGE]))

    def _count(self, buyer: str, lines: list[Line]) -> dict[str, Any]:
        document = self._buyers.setdefault(
            buyer, {"hold": "", "ended": [], "counts": [0] * self._types, "keys": []}
        )
        for line in lines:
            document["counts"][line.type] += line.quantity
        return document


async def withdraw(client: Redis, shard: int, occurrence: str, *, force: bool) -> None:
    """Take an occurrence off sale and note that it is being rebuilt; once is enough.

    Every command is refused from here on, until it is restored. ``force``: as
    it was asked for, for whoever has to finish it.
    """
    await client.hset(keys.REBUILDING, occurrence, f"{shard}:{int(force)}")
    await _take_off(client, keys.prefix(shard, occurrence))


async def _take_off(client: Redis, prefix: str) -> None:
    try:
        await client.rename(f"{prefix}:conf", f"{prefix}:withdrawn")
    except ResponseError as error:
        if "no such key" not in str(error):
            raise
        await client.set(f"{prefix}:withdrawn", b"", nx=True)  # withdrawn before, or lost


async def read_withdrawn(client: Redis, shard: int, occurrence: str) -> Configuration | None:
    """Return the configuration of an occurrence that is withdrawn; None when it was lost."""
    packed = await get(client, f"{keys.prefix(shard, occurrence)}:withdrawn")
    return unpack_configuration(packed) if packed else None


async def unfinished(client: Redis) -> dict[str, bool]:
    """Return the occurrences whose rebuild has not ended, and whether it was forced."""
    found = await hgetall(client, keys.REBUILDING)
    return {name.decode(): value.endswith(b":1") for name, value in found.items()}


async def finish(client: Redis, shard: int, occurrence: str) -> bool:
    """End a rebuild of which only that is left to say; False when more is."""
    if not await client.exists(f"{keys.prefix(shard, occurrence)}:conf"):
        return False
    await client.incr(keys.CATALOGUE)
    await client.hdel(keys.REBUILDING, occurrence)
    return True


async def restore(
    client: Redis,
    snapshot: Snapshot,
    shard: int,
    *,
    orders: AsyncIterable[Order],
    holds: Iterable[Hold] = (),
    sequence: int,
    version: int,
    counter_names: list[str] | None = None,
    clock: SaleClock | None = None,
) -> Restored:
    """Write a withdrawn occurrence's keys again; the waiting room's places are kept.

    Who was inside has no pass afterwards, and may join again.

    ``orders``: every order ever made; ``holds``: those that were still readable.
    ``sequence``: the highest order sequence of the shard known anywhere.
    ``version``: of the configuration, higher than any before. ``counter_names``:
    the order of the counters before, when it is known.
    Raises ``ConflictError`` when two orders have the same stock: then
    PostgreSQL contradicts itself and a person must look.
    """
    prefix = keys.prefix(shard, snapshot.occurrence)
    await _take_off(client, prefix)
    await _clear(client, prefix)
    stock = _Stock(snapshot, counter_names or [])
    restoration = _Restoration(client, snapshot, prefix, stock)
    count = kept = dropped = 0
    async for order in orders:
        await restoration.add_order(order)
        count += 1
    for hold in holds:
        if restoration.add_hold(hold):
            kept += 1
        else:
            dropped += 1
    await restoration.finish()
    await _write_inventory(client, prefix, snapshot, stock, clock)
    await raise_sequence(client, shard, sequence)
    await client.hset(keys.OCCURRENCES, snapshot.occurrence, str(shard))
    async with client.pipeline(transaction=True) as pipe:
        pipe.set(f"{prefix}:conf", layout.packed_configuration(snapshot, stock.counters, version))
        pipe.delete(f"{prefix}:withdrawn")
        await pipe.execute()
    await finish(client, shard, snapshot.occurrence)
    return Restored(orders=count, holds=kept, holds_dropped=dropped)


async def _clear(client: Redis, prefix: str) -> None:
    kept = {f"{prefix}:{name}".encode() for name in _KEPT}
    buyers = f"{prefix}:{_KEPT_BUYERS}".encode()
    await _delete(client, f"{prefix}:", lambda key: key not in kept and not key.startswith(buyers))


async def _delete(client: Redis, beginning: str, is_wanted: Callable[[bytes], bool]) -> None:
    page: list[bytes] = []
    async for key in client.scan_iter(match=f"{beginning}*", count=_PAGE):
        if is_wanted(key):
            page.append(key)
        if len(page) >= _PAGE:
            await client.delete(*page)
            page = []
    if page:
        await client.delete(*page)


async def _write_inventory(
    client: Redis, prefix: str, snapshot: Snapshot, stock: _Stock, clock: SaleClock | None
) -> None:
    for i, section in enumerate(stock.plan.sections):
        await client.mset(
            {
                f"{prefix}:seats:{i}": bytes(stock.sections[i]),
                f"{prefix}:categories:{i}": section.categories,
                f"{prefix}:segments:{i}": section.segments,
            }
        )
    for i, (rank, room) in enumerate(zip(stock.plan.ranks, stock.plan.rooms, strict=True)):
        await client.mset({f"{prefix}:rank:{i}": rank, f"{prefix}:room:{i}": room})
    on = await waiting.restore_line(client, prefix, snapshot)
    paused = (clock.paused_since, clock.paused_ms) if clock else (0, 0)
    await client.mset(
        {
            f"{prefix}:versions": layout.packed_versions(snapshot),
            f"{prefix}:stock": pack(stock.values),
            f"{prefix}:snapshot": msgspec.msgpack.encode(snapshot),
            f"{prefix}:clock": pack([*paused, int(on)]),
        }
    )
