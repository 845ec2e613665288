from __future__ import annotations

import math
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis

from engine.core.errors import ConflictError, NotFoundError
from engine.core.ids import new_id
from engine.persist.consumer import Consumer
from engine.persist.rebuild import rebuild
from engine.sale.requests import LineRequest
from engine.settings import Settings
from engine.store import inspection, keys
from engine.store.packing import pack, unpack
from tests.conservation import assert_conserved
from tests.persist.conftest import (
    SHARD,
    STREAM,
    Database,
    drain,
    enter,
    ordered,
    record,
    value_of,
)
from tests.persist.test_audit import STANDING, Auditor, provider, sold
from tests.sale.conftest import Box, intent_of

__all__ = ["provider", "sold"]


class Builder:
    def __init__(self, sold: Auditor, pool: asyncpg.Pool, settings: Settings) -> None:
        self.sold = sold
        self.client = sold.client
        self.box = sold.box
        self.prefix = sold.prefix
        self._pool = pool
        self._settings = settings

    async def rebuild(self, **options: Any) -> Any:
        return await rebuild(
            self.client, self._pool, self._settings, self.box.occurrence, **options
        )

    async def dump(self) -> dict[str, Any]:
        """The documents of the occurrence, as values rather than as bytes."""
        found: dict[str, Any] = {}
        async for key in self.client.scan_iter(match=f"{self.prefix}:o:*"):
            found[key.decode()] = unpack(await value_of(self.client, key))
        async for hold in inspection.iter_holds(self.client, SHARD, self.box.occurrence):
            found[hold.id] = hold
        for key in ("stock", "seats:0", "seats:1", "seats:2"):
            value = await value_of(self.client, f"{self.prefix}:{key}")
            found[key] = unpack(value)[1:] if key == "stock" else value
        found["due"] = sorted(await self.client.zrange(f"{self.prefix}:due", 0, -1))
        return found


@pytest.fixture
def builder(sold: Auditor, pool: asyncpg.Pool, settings: Settings) -> Builder:
    return Builder(sold, pool, settings)


async def test_a_sale_that_redis_lost_is_restored_and_the_audit_passes(builder: Builder) -> None:
    before = await inspection.read_counters(builder.client, SHARD, builder.box.occurrence)
    await builder.client.flushall()
    told: list[tuple[str, int, int]] = []
    restored = await builder.rebuild(progress=lambda *step: told.append(step))
    assert (restored.orders, restored.holds) == (4, 0)
    assert told[-1] == ("orders restored", 4, 4)
    await assert_conserved(builder.client, builder.box.occurrence)
    report = await builder.sold.report()
    assert [(c.name, c.findings) for c in report.checks if c.failed] == []
    after = await inspection.read_counters(builder.client, SHARD, builder.box.occurrence)
    assert [c.sold for c in after] == [c.sold for c in before]
    # and it sells on, with order numbers that were never used
    sequence = int(await builder.client.get(keys.sequence(SHARD)) or 0)
    assert sequence == await builder.sold.database.value("SELECT max(sequence) FROM orders")


async def test_what_can_still_be_read_is_kept_as_it_was(builder: Builder) -> None:
    await builder.client.delete(f"{builder.prefix}:stock", f"{builder.prefix}:conf")
    await builder.client.delete(f"{builder.prefix}:seats:0")
    with pytest.raises(AssertionError):
        await builder.dump()
    restored = await builder.rebuild()
    assert (restored.holds, restored.holds_dropped) == (1, 0)
    await assert_conserved(builder.client, builder.box.occurrence)
    assert (await builder.sold.report()).ok


async def test_rebuilding_a_sale_that_is_whole_changes_nothing(builder: Builder) -> None:
    before = await builder.dump()
    version = (
        await inspection.read_configuration(builder.client, SHARD, builder.box.occurrence)
    ).version
    await builder.box.sale.pause(builder.box.occurrence)
    await builder.rebuild()
    after = await builder.dump()
    pending = [key for key in before if b"pending" in str(before[key]).encode()]
    for key in pending:
        # the intent was noted without a record: the worker finds it again by the order's id
        before[key][b"payment"][b"intent"] = b""
    assert after == before
    configuration = await inspection.read_configuration(
        builder.client, SHARD, builder.box.occurrence
    )
    assert configuration.version > version
    clock = await inspection.read_clock(builder.client, SHARD, builder.box.occurrence)
    assert clock.paused_since  # it is still paused


async def test_money_that_is_owed_is_followed_after_a_rebuild(
    builder: Builder, consumer: Consumer
) -> None:
    """What is owed is due at once, what needs a person waits for one, and disputes are kept."""
    box = builder.box
    owed, raised, disputed = [
        await box.confirmed(new_id(), LineRequest(ticket_type="standing", quantity=1))
        for _ in range(3)
    ]
    box.stripe.deliver_to(None)
    box.stripe.money.next_refunds("failed", 6)
    await box.sale.orders.give_back(box.occurrence, raised.order.id, "asked")
    for _ in range(4):
        await box.money_round()
    await box.sale.orders.give_back(box.occurrence, owed.order.id, "asked")
    box.stripe.money.dispute(intent_of(disputed))
    await box.sale.money.catch_up()
    await drain(consumer, builder.client)
    await box.sale.pause(box.occurrence)
    await builder.rebuild()
    followed = await inspection.read_followed(builder.client, SHARD, box.occurrence)
    assert followed == {owed.order.id: 0, raised.order.id: math.inf, disputed.order.id: 0}
    await box.sale.money.run_once()
    payments = [(await box.stored(item.order.id)).payment for item in (owed, disputed)]
    assert [(item.refund_state, item.dispute) for item in payments if item] == [
        ("done", ""),
        ("", "open"),
    ]
    await assert_conserved(builder.client, box.occurrence)


async def test_the_stream_is_written_first(builder: Builder) -> None:
    await builder.box.pending(new_id(), STANDING)
    assert await builder.client.xlen(STREAM) == 1
    await builder.client.delete(f"{builder.prefix}:conf")
    assert (await builder.rebuild()).orders == 5
    assert await builder.client.xlen(STREAM) == 0
    assert (await builder.sold.report()).ok


async def test_a_hold_whose_stock_an_order_has_is_dropped(builder: Builder) -> None:
    (held,) = [
        hold async for hold in inspection.iter_holds(builder.client, SHARD, builder.box.occurrence)
    ]
    key = f"{builder.prefix}:b:{held.buyer}"
    buyer = unpack(await value_of(builder.client, key))
    hold = unpack(buyer[b"hold"])
    order = await builder.sold.database.value(
        "SELECT document FROM orders WHERE state = 'confirmed'"
    )
    hold[b"lines"] = unpack(order)[b"lines"]
    buyer[b"hold"] = pack(hold)
    await builder.client.set(key, pack(buyer))
    await builder.client.delete(f"{builder.prefix}:conf")
    restored = await builder.rebuild()
    assert (restored.holds, restored.holds_dropped) == (0, 1)
    await assert_conserved(builder.client, builder.box.occurrence)


async def test_a_sale_that_runs_is_not_rebuilt_unless_forced(builder: Builder) -> None:
    with pytest.raises(ConflictError, match="onsale pause"):
        await builder.rebuild()
    assert (await builder.rebuild(force=True)).orders == 4
    assert (await builder.sold.report()).ok


async def test_parked_records_forbid_it_unless_forced(builder: Builder, consumer: Consumer) -> None:
    order = ordered(builder.box.snapshot, 99, total=1)
    await record(builder.client, "order.placed", order)
    await drain(consumer, builder.client)
    await builder.client.delete(f"{builder.prefix}:conf")
    with pytest.raises(ConflictError, match="parked"):
        await builder.rebuild()
    assert (await builder.rebuild(force=True)).orders == 4


async def test_an_occurrence_that_postgresql_does_not_know_is_refused(
    redis_client: Redis, pool: asyncpg.Pool, settings: Settings
) -> None:
    with pytest.raises(NotFoundError, match="no occurrence"):
        await rebuild(redis_client, pool, settings, new_id())


async def test_an_occurrence_that_was_never_published_is_refused(
    box: Box, redis_client: Redis, pool: asyncpg.Pool, settings: Settings, database: Database
) -> None:
    await enter(database.connection, box.snapshot)
    await database.connection.execute("DELETE FROM seat_map_snapshots")
    with pytest.raises(NotFoundError, match="publish it"):
        await rebuild(redis_client, pool, settings, box.occurrence)


async def test_how_long_the_sale_was_paused_is_told_by_its_newest_order(builder: Builder) -> None:
    await builder.box.advance(-7_000)  # as after pauses of seven seconds
    await builder.box.pending(new_id(), STANDING)
    await builder.client.delete(f"{builder.prefix}:clock", f"{builder.prefix}:conf")
    await builder.rebuild()
    clock = await inspection.read_clock(builder.client, SHARD, builder.box.occurrence)
    assert clock.paused_ms == 7_000
