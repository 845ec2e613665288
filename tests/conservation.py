"""The promise of the stock, checked from the outside: nothing oversold, nothing leaked."""

from __future__ import annotations

from collections import Counter as Count

from redis.asyncio import Redis

from engine.queue import store as waiting
from engine.sale.documents import Line
from engine.sale.inventory import inspection, layout
from engine.sale.inventory.snapshot import Snapshot


async def assert_conserved(client: Redis, occurrence: str) -> None:
    """Assert that counters, seats, holds, orders and deadlines of an occurrence agree."""
    shard = await inspection.shard_of(client, occurrence)
    snapshot = await inspection.read_snapshot(client, occurrence)
    counters = {
        counter.key: counter
        for counter in await inspection.read_counters(client, shard, occurrence)
    }
    for counter in counters.values():
        parts = (counter.free, counter.held, counter.sold, counter.blocked)
        assert min(parts) >= 0, counter
        assert sum(parts) == counter.capacity, counter
    strings = await inspection.read_seats(client, shard, occurrence)
    _assert_seats(snapshot, strings, counters)

    holds = [hold async for hold in inspection.iter_holds(client, shard, occurrence)]
    orders = [order async for order in inspection.iter_orders(client, shard, occurrence)]
    held = [line for hold in holds for line in hold.lines]
    held += [
        line for order in orders if order.state in {"pending", "cancelling"} for line in order.lines
    ]
    sold = [line for order in orders if order.state == "confirmed" for line in order.lines]
    assert _used(snapshot, held) == {k: c.held for k, c in counters.items() if c.held}
    assert _used(snapshot, sold) == {k: c.sold for k, c in counters.items() if c.sold}
    _assert_owned(strings, held, ord("h"))
    _assert_owned(strings, sold, ord("s"))

    deadlines = await inspection.read_deadlines(client, shard, occurrence)
    due = {f"h{hold.buyer}" for hold in holds}
    due |= {f"o{order.id}" for order in orders if order.state in {"pending", "cancelling"}}
    passes = await inspection.passes(client, shard, occurrence)
    due |= {f"p{buyer}" for buyer in passes}
    assert set(deadlines) == due

    followed = await inspection.read_followed(client, shard, occurrence)
    assert followed.keys() == {
        order.id
        for order in orders
        if order.payment and any(money.is_followed for money in order.payment.everything)
    }

    line = await waiting.read_queue(client, shard, occurrence)
    assert line.queue.inside == len(passes)
    assert len(set(passes.values())) == len(passes), "a number was let in twice"
    assert all(number <= line.queue.served for number in passes.values())


def _assert_seats(
    snapshot: Snapshot, strings: list[bytes], counters: dict[str, inspection.Counter]
) -> None:
    found: Count[tuple[int, int]] = Count()
    for section, string in zip(snapshot.sections, strings, strict=True):
        for position, _, seat in layout.positions(section):
            found[seat.category, string[position]] += 1
    for index, category in enumerate(snapshot.categories):
        counter = counters[f"category:{category.name}"]
        assert found[index, ord(".")] == counter.free
        assert found[index, ord("h")] == counter.held
        assert found[index, ord("s")] == counter.sold
        assert found[index, ord("x")] == counter.blocked


def _assert_owned(strings: list[bytes], lines: list[Line], byte: int) -> None:
    owned = Count(
        pair for line in lines for pair in zip(line.seats[::2], line.seats[1::2], strict=True)
    )
    assert not [pair for pair, times in owned.items() if times > 1]
    marked = {
        (section, position)
        for section, string in enumerate(strings)
        for position, state in enumerate(string)
        if state == byte
    }
    assert set(owned) == marked


def _used(snapshot: Snapshot, lines: list[Line]) -> dict[str, int]:
    used: Count[str] = Count()
    for line in lines:
        kind = snapshot.ticket_types[line.type]
        tier = kind.tiers[line.tier]
        if kind.category is not None:
            assert len(line.seats) == 2 * line.quantity
            used[f"category:{snapshot.categories[kind.category].name}"] += line.quantity
        for quota in kind.quotas:
            used[f"quota:{snapshot.quotas[quota].code}"] += line.quantity
        if tier.capacity is not None:
            used[f"tier:{kind.code}/{tier.code}"] += line.quantity
    return dict(used)
