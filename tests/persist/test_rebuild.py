from __future__ import annotations

import asyncio
import contextlib
import math
from typing import Any, cast

import asyncpg
import pytest
from redis.asyncio import ConnectionPool, Redis

from engine.audit import rebuild as rebuild_module
from engine.audit.rebuild import Rebuilds, _locked, rebuild
from engine.core.errors import ConflictError, NotFoundError, OnsaleError
from engine.core.ids import new_id
from engine.core.settings import Settings
from engine.platform.valkey import keys
from engine.platform.valkey.packing import pack, unpack
from engine.sale.errors import OccurrenceUnknownError
from engine.sale.inventory import inspection, publication, restoration
from engine.sale.requests import LineRequest
from engine.write_behind.consumer import Consumer
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
        # the intent was noted without a record: the worker finds it again by the order's id, with
        # what the provider was told of it
        payment = before[key][b"payment"] | {b"intent": b""}
        before[key][b"payment"] = {
            name: value for name, value in payment.items() if name not in {b"secret", b"asked"}
        }
        before[key][b"payment"][b"description"] = builder.box.snapshot.event_name.encode()
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


class Killed(BaseException):
    """The process is dead: from here on nothing reaches Redis."""


class Dying(Redis):
    """A client whose process is killed before its ``left``-th command from now."""

    left: int

    async def execute_command(self, *arguments: Any, **options: Any) -> Any:
        self.live_on()
        return await super().execute_command(*arguments, **options)  # type: ignore[no-untyped-call]

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Any:
        self.live_on()
        return super().pipeline(transaction, shard_hint)

    def live_on(self) -> None:
        self.left -= 1
        if self.left <= 0:
            raise Killed


def dying(settings: Settings, left: int) -> Dying:
    client = Dying(connection_pool=ConnectionPool.from_url(settings.redis_url))
    client.left = left
    return client


async def whole(builder: Builder) -> dict[str, Any]:
    """The sale, its pause included, without what a rebuild may find out again."""
    found = await builder.dump()
    for value in found.values():
        if isinstance(value, dict) and value.get(b"payment"):
            value[b"payment"][b"intent"] = b""
            # what it is paid with is in no record, and the turns to ask the provider begin anew
            for name in (b"secret", b"asked", b"description"):
                value[b"payment"].pop(name, None)
    clock = await inspection.read_clock(builder.client, SHARD, builder.box.occurrence)
    return {**found, "clock": clock}


@pytest.fixture
async def paused(builder: Builder, consumer: Consumer) -> Builder:
    """A paused sale with holds, orders and a record that is not written yet."""
    await builder.box.hold(new_id(), STANDING)
    for _ in range(3):
        await builder.box.hold(new_id(), LineRequest(ticket_type="stalls", quantity=1))
    await drain(consumer, builder.client)
    await builder.box.pending(new_id(), LineRequest(ticket_type="stalls", quantity=1))
    await builder.box.sale.pause(builder.box.occurrence)
    return builder


async def test_killed_before_any_command_it_goes_on_and_loses_nothing(
    paused: Builder, pool: asyncpg.Pool, settings: Settings
) -> None:
    before = await whole(paused)
    kills = 0
    for left in range(1, 200):
        client = dying(settings, left)
        try:
            await rebuild(client, pool, settings, paused.box.occurrence)
        except Killed:
            kills += 1
            if await paused.client.exists(f"{paused.prefix}:conf"):
                assert await whole(paused) == before  # not begun, or all done
            else:
                with pytest.raises(OccurrenceUnknownError):
                    await inspection.read_counters(paused.client, SHARD, paused.box.occurrence)
        else:
            break
        finally:
            await client.aclose(close_connection_pool=True)
        if left % 2:
            await paused.rebuild()
        else:
            await Rebuilds(paused.client, pool, settings).run_once()
        assert await whole(paused) == before
        assert await restoration.unfinished(paused.client) == {}
    assert kills > 25
    await assert_conserved(paused.client, paused.box.occurrence)
    assert (await paused.sold.report()).ok


async def test_killed_again_and_again_it_still_ends_as_it_was(
    paused: Builder, pool: asyncpg.Pool, settings: Settings
) -> None:
    before = await whole(paused)
    for left in (*range(12, 60, 5), *range(60, 12, -7)):
        client = dying(settings, left)
        with contextlib.suppress(Killed):
            await rebuild(client, pool, settings, paused.box.occurrence, force=True)
        await client.aclose(close_connection_pool=True)
    await paused.rebuild(force=True)
    assert await whole(paused) == before


async def test_while_it_is_off_sale_every_command_is_refused(
    paused: Builder, pool: asyncpg.Pool, settings: Settings
) -> None:
    await restoration.withdraw(paused.client, SHARD, paused.box.occurrence, force=False)
    box = paused.box
    with pytest.raises(OnsaleError):
        await box.sale.resume(box.occurrence)
    with pytest.raises(OnsaleError):
        await box.hold(new_id(), STANDING)
    with pytest.raises(OccurrenceUnknownError, match="onsale rebuild"):
        await publication.republish(paused.client, box.snapshot)
    assert await Rebuilds(paused.client, pool, settings).run_once() == 1
    assert await Rebuilds(paused.client, pool, settings).run_once() == 0
    await box.sale.resume(box.occurrence)


async def test_a_stream_that_was_lost_begins_behind_what_postgresql_has(builder: Builder) -> None:
    later_ms = 4_000_000_000_000  # a clock that has been set right since
    await builder.sold.database.connection.execute(
        "UPDATE order_events SET entry = $1", f"{later_ms}-7"
    )
    await builder.client.flushall()
    await builder.rebuild()
    await builder.box.pending(new_id(), STANDING)
    entries: Any = await builder.client.xrange(STREAM)
    ((entry, _),) = entries
    assert int(entry.split(b"-")[0]) > later_ms


async def test_two_do_not_rebuild_at_once(
    paused: Builder, pool: asyncpg.Pool, settings: Settings, database: Database
) -> None:
    await restoration.withdraw(paused.client, SHARD, paused.box.occurrence, force=False)
    async with _locked(pool, paused.box.occurrence):
        with pytest.raises(ConflictError, match="another process"):
            await paused.rebuild()
        assert await Rebuilds(paused.client, pool, settings).run_once() == 0
        assert await restoration.unfinished(paused.client)
    assert await Rebuilds(paused.client, pool, settings).run_once() == 1


async def test_a_rebuild_that_takes_long_holds_up_neither_rounds_nor_the_end(
    paused: Builder, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()

    async def hang(*_: Any, **__: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(rebuild_module, "_ROUND_S", 0.0)
    monkeypatch.setattr(rebuild_module, "finish", hang)
    await restoration.withdraw(paused.client, SHARD, paused.box.occurrence, force=False)
    service = Rebuilds(paused.client, cast("asyncpg.Pool", None), settings)
    assert await service.run_once() == 0
    await begun.wait()
    assert await service.run_once() == 0
    await service.stop()
    assert await restoration.unfinished(paused.client)


async def test_what_was_forced_is_finished_by_force(
    paused: Builder, pool: asyncpg.Pool, settings: Settings, consumer: Consumer
) -> None:
    await record(paused.client, "order.placed", ordered(paused.box.snapshot, 99, total=1))
    await drain(consumer, paused.client)
    for force, finished in ((False, 0), (True, 1)):
        await restoration.withdraw(paused.client, SHARD, paused.box.occurrence, force=force)
        assert await Rebuilds(paused.client, pool, settings).run_once() == finished


async def test_a_buyer_that_cannot_be_read_costs_no_other_the_hold(paused: Builder) -> None:
    before = [
        hold async for hold in inspection.iter_holds(paused.client, SHARD, paused.box.occurrence)
    ]
    for buyer in ("0" * 32, "7" * 32, "f" * 32):
        await paused.client.set(f"{paused.prefix}:b:{buyer}", b"\xc1")
    restored = await paused.rebuild()
    assert (restored.holds, restored.holds_dropped) == (len(before), 0)
    assert not await paused.client.exists(f"{paused.prefix}:b:{'7' * 32}")
