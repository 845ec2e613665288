from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from engine.core.ids import new_id
from engine.platform.valkey import keys
from engine.sale.documents import Line, Order, RecordKind
from engine.sale.inventory.snapshot import Snapshot
from engine.write_behind import consumer as consumer_module
from engine.write_behind import metrics
from engine.write_behind.backlog import read_backlog
from engine.write_behind.consumer import GROUP, Consumer
from tests.houses import small_house
from tests.persist.conftest import (
    NOW_MS,
    SHARD,
    STANDING,
    STREAM,
    Database,
    MakeConsumer,
    confirmed,
    drain,
    enter,
    ordered,
    owed,
    record,
    refunded,
    stalls,
)


async def sell(client: Redis, snapshot: Snapshot, count: int, *, first: int = 1) -> list[Order]:
    """Place and confirm ``count`` orders of one standing place."""
    orders = [ordered(snapshot, first + i) for i in range(count)]
    for order in orders:
        await record(client, "order.placed", order)
    for order in orders:
        await record(client, "order.confirmed", confirmed(order))
    return orders


async def test_records_become_rows_and_leave_the_stream(
    redis_client: Redis, snapshot: Snapshot, consumer: Consumer, database: Database
) -> None:
    order = ordered(snapshot, 7, stalls(0, 1), attendees=["Ada", "Grace"])
    await record(redis_client, "order.placed", order)
    await record(redis_client, "order.confirmed", confirmed(order))
    assert await consumer.run_once() == 2
    assert await database.rows("orders", "state, version, shard, sequence, total") == [
        ("confirmed", 2, 5, 7, order.total)
    ]
    assert await database.rows("order_lines", "ticket_type, tier, quantity, price") == [
        ("stalls", "full", 2, 4500)
    ]
    assert await database.rows("tickets", "seat_guid, status, section, row, seat, attendee") == [
        ("A-1-1", "valid", "A", "1", "1", "Ada"),
        ("A-1-2", "valid", "A", "1", "2", "Grace"),
    ]
    assert await database.rows("payments", "provider, intent, captured, refunded") == [
        ("stripe", f"pi_{order.id}", order.total, 0)
    ]
    assert await database.rows("order_events", "version, kind, state") == [
        (1, "order.placed", "pending"),
        (2, "order.confirmed", "confirmed"),
    ]
    assert await database.value("SELECT sum(amount) FROM ledger_entries") == 0
    assert await database.value("SELECT placed_at FROM orders") == NOW_MS
    assert await redis_client.xlen(STREAM) == 0
    pending: Any = await redis_client.xpending(STREAM, GROUP)
    assert pending["pending"] == 0


async def test_the_document_in_postgresql_is_the_one_of_the_record_byte_for_byte(
    redis_client: Redis, snapshot: Snapshot, consumer: Consumer, database: Database
) -> None:
    order = ordered(snapshot, 1)
    # a field that this version does not know is kept all the same
    document = msgspec.msgpack.encode({**msgspec.to_builtins(order), "later": 5})
    await redis_client.xadd(STREAM, {"k": "order.placed", "o": document})
    await consumer.run_once()
    assert await database.value("SELECT document FROM orders") == document


async def test_delivered_twice_they_change_nothing(
    redis_client: Redis, snapshot: Snapshot, make_consumer: MakeConsumer, database: Database
) -> None:
    await sell(redis_client, snapshot, 8)
    entries: Any = await redis_client.xrange(STREAM)
    await drain(make_consumer(), redis_client)
    before = [await database.rows(table) for table in await database.counts()]
    for _, fields in entries:
        await redis_client.xadd(STREAM, fields)
    await drain(make_consumer(batch=3), redis_client)
    counts = await database.counts()
    # the same, but for the ids of the entries
    assert [await database.rows(table) for table in counts] == before
    assert counts["order_events"] == 16


async def test_a_crash_between_commit_and_acknowledgement_repeats_without_effect(
    redis_client: Redis,
    snapshot: Snapshot,
    make_consumer: MakeConsumer,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await sell(redis_client, snapshot, 5)
    dying = make_consumer()

    class Killed(BaseException):
        pass

    async def die(_: object) -> None:
        raise Killed

    monkeypatch.setattr(dying, "_acknowledge", die)
    with pytest.raises(Killed):
        await dying.run_once()
    before = await database.counts()
    assert before["orders"] == 5
    assert await redis_client.xlen(STREAM) == 10
    monkeypatch.setattr(dying, "_unwritten", type(dying._unwritten)())  # it is dead
    await drain(make_consumer(claim_idle_ms=0), redis_client)
    assert await database.counts() == before


async def test_records_of_a_dead_consumer_are_taken_over(
    redis_client: Redis, snapshot: Snapshot, make_consumer: MakeConsumer, database: Database
) -> None:
    await sell(redis_client, snapshot, 3)
    await redis_client.xgroup_create(STREAM, GROUP, id="0")
    read: Any = await redis_client.xreadgroup(GROUP, "dead", {STREAM: ">"})
    assert len(read[0][1]) == 6
    patient = make_consumer(claim_idle_ms=60_000)
    assert await patient.run_once() == 0  # it may still be alive
    claimed = metrics.CLAIMED._value.get()
    await drain(make_consumer(claim_idle_ms=0), redis_client)
    assert metrics.CLAIMED._value.get() == claimed + 6
    assert (await database.counts())["orders"] == 3


async def test_entries_that_were_deleted_but_not_acknowledged_do_not_come_back(
    redis_client: Redis, snapshot: Snapshot, make_consumer: MakeConsumer
) -> None:
    await sell(redis_client, snapshot, 1)
    await redis_client.xgroup_create(STREAM, GROUP, id="0")
    await redis_client.xreadgroup(GROUP, "dead", {STREAM: ">"})
    await redis_client.xtrim(STREAM, maxlen=0)
    assert await make_consumer(claim_idle_ms=0).run_once() == 0
    pending: Any = await redis_client.xpending(STREAM, GROUP)
    assert pending["pending"] == 0


async def test_versions_out_of_order_leave_the_newest(
    redis_client: Redis, snapshot: Snapshot, consumer: Consumer, database: Database
) -> None:
    paid = confirmed(ordered(snapshot, 1, stalls(0)))
    back = owed(paid)
    done = refunded(back)
    steps: list[tuple[RecordKind, Order]] = [
        ("order.refunded", done),
        ("order.confirmed", paid),
        ("order.refund_due", back),
    ]
    for kind, order in steps:
        await record(redis_client, kind, order)
        await drain(consumer, redis_client)
    assert await database.rows("orders", "state, version") == [("refunded", 4)]
    assert await database.rows("tickets", "status, version") == [("void", 4)]
    assert await database.rows("payments", "refund_due, refunded") == [(0, paid.total)]
    assert [row[0] for row in await database.rows("order_events", "version, kind")] == [2, 3, 4]
    balances = "SELECT count(*) FROM (SELECT sum(amount) s FROM ledger_entries GROUP BY account)"
    assert await database.value(balances + " b WHERE s <> 0") == 0


async def test_a_ticket_is_made_when_confirmed_and_void_when_taken_back(
    redis_client: Redis, snapshot: Snapshot, consumer: Consumer, database: Database
) -> None:
    order = ordered(snapshot, 1, stalls(0))
    seen = []
    steps: list[tuple[RecordKind, Order]] = [
        ("order.placed", order),
        ("order.confirmed", confirmed(order)),
        ("order.refund_due", owed(confirmed(order))),
        ("order.refunded", refunded(owed(confirmed(order)))),
    ]
    for kind, version in steps:
        await record(redis_client, kind, version)
        await drain(consumer, redis_client)
        seen.append([row[0] for row in await database.rows("tickets", "status, number")])
    assert seen == [[], ["valid"], ["void"], ["void"]]


async def test_a_seat_can_be_sold_again_after_it_was_given_back(
    redis_client: Redis, snapshot: Snapshot, consumer: Consumer, database: Database
) -> None:
    first = confirmed(ordered(snapshot, 1, stalls(0)))
    await record(redis_client, "order.confirmed", first)
    await drain(consumer, redis_client)
    # in one batch of one lane, the new ticket's order sorting before the old one's
    second = confirmed(ordered(snapshot, 2, stalls(0), id=f"{0:031x}{first.id[-1]}"))
    await record(redis_client, "order.refund_due", owed(first))
    await record(redis_client, "order.confirmed", second)
    batches = metrics.BATCHES._value.get()
    await drain(consumer, redis_client)
    assert metrics.BATCHES._value.get() == batches + 1  # not after a failure one by one
    assert await database.rows("tickets", "status, seat_guid") == [
        ("valid", "A-1-1"),
        ("void", "A-1-1"),
    ]
    assert await database.value("SELECT count(*) FROM dead_letters") == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"k": "order.placed", "o": b"\xc1\xc1"},
        {"k": "order.placed"},
        {"o": b""},
        {"k": b"\xff\xfe", "o": b"x"},
        {"k": "order.forgotten", "o": msgspec.msgpack.encode(ordered(small_house(), 1))},
    ],
)
async def test_what_is_no_record_is_parked_and_the_rest_is_written(
    redis_client: Redis,
    snapshot: Snapshot,
    consumer: Consumer,
    database: Database,
    fields: Any,
) -> None:
    await sell(redis_client, snapshot, 2)
    await redis_client.xadd(STREAM, fields)
    await sell(redis_client, snapshot, 2, first=3)
    await drain(consumer, redis_client)
    assert (await database.counts())["orders"] == 4
    assert await database.value("SELECT record FROM dead_letters") == fields.get("o", b"")


POISONS: dict[str, dict[str, Any]] = {
    "the parts do not add up": {"total": 1},
    "text that PostgreSQL does not take": {"name": "a\x00b"},
    "an id that is none": {"hold": "not an id"},
    "an occurrence that nobody published": {"occurrence": "0" * 32},
    "a tier that there is not": {"lines": [Line(type=STANDING, tier=7, price=1, quantity=1)]},
    "a number that is too large": {"pay_by": 2**63},
    "a sequence that is none": {"sequence": 0},
    "a buyer too long for its index": {"buyer": "".join(new_id() for _ in range(1_000))},
    "a shard that is none": {"shard": 2**20},
}


@pytest.mark.parametrize("poison", POISONS)
async def test_a_record_that_fails_alone_is_found_among_many_and_parked(
    redis_client: Redis,
    snapshot: Snapshot,
    consumer: Consumer,
    database: Database,
    poison: str,
) -> None:
    await sell(redis_client, snapshot, 6)
    order = msgspec.structs.replace(ordered(snapshot, 99), **POISONS[poison])
    await redis_client.xadd(STREAM, {"k": "order.placed", "o": msgspec.msgpack.encode(order)})
    await sell(redis_client, snapshot, 6, first=7)
    await drain(consumer, redis_client)
    assert (await database.counts())["orders"] == 12
    assert (await database.counts())["order_events"] == 24
    assert await database.value("SELECT count(*) FROM dead_letters") == 1


async def test_two_consumers_share_the_work_and_neither_loses_nor_doubles(
    redis_client: Redis, snapshot: Snapshot, make_consumer: MakeConsumer, database: Database
) -> None:
    orders = await sell(redis_client, snapshot, 150)
    for order in orders[:50]:
        await record(redis_client, "order.refund_due", owed(confirmed(order)))
    consumers = [make_consumer(batch=10) for _ in range(2)]
    await asyncio.gather(*(drain(consumer, redis_client) for consumer in consumers))
    assert await database.value("SELECT count(*) FROM orders WHERE state = 'refunded'") == 50
    assert await database.value("SELECT count(*) FROM orders WHERE state = 'confirmed'") == 100
    assert await database.value("SELECT count(*) FROM tickets WHERE status = 'valid'") == 100
    assert (await database.counts())["order_events"] == 350
    assert await database.value("SELECT sum(amount) FROM ledger_entries") == 0
    assert await database.value("SELECT count(*) FROM dead_letters") == 0


async def test_two_consumers_with_the_same_records_at_once_write_them_once(
    redis_client: Redis, snapshot: Snapshot, make_consumer: MakeConsumer, database: Database
) -> None:
    await sell(redis_client, snapshot, 120)
    # each takes from the other whatever is not acknowledged this instant
    consumers = [make_consumer(batch=30, claim_idle_ms=0) for _ in range(3)]
    for consumer in consumers:
        await consumer._begin()
    batches = [await consumers[0]._read(block_ms=None)]
    for consumer in consumers[1:]:
        batches.append(type(batches[0])())
        await consumer._claim(batches[-1])
    assert [len(batch) for batch in batches] == [60, 30, 30]
    await asyncio.gather(
        *(consumer._write(batch) for consumer, batch in zip(consumers, batches, strict=True))
    )
    await asyncio.gather(*(drain(consumer, redis_client) for consumer in consumers))
    counts = await database.counts()
    assert (counts["orders"], counts["order_events"], counts["tickets"]) == (120, 240, 120)
    assert await database.value("SELECT count(*) FROM dead_letters") == 0


async def test_records_of_every_shard_are_read(
    redis_client: Redis, snapshot: Snapshot, consumer: Consumer, database: Database
) -> None:
    for shard in range(keys.SHARD_COUNT):
        await record(redis_client, "order.placed", ordered(snapshot, 1, shard=shard))
    assert (await read_backlog(redis_client)).records == 16
    written = 0
    while written < 16:
        written += await consumer.run_once()
    assert sorted(row[0] for row in await database.rows("orders", "shard, id")) == list(range(16))
    assert (await read_backlog(redis_client)).records == 0


async def test_types_that_were_added_in_mid_sale_are_found(
    redis_client: Redis, snapshot: Snapshot, consumer: Consumer, database: Database
) -> None:
    await sell(redis_client, snapshot, 1)
    await drain(consumer, redis_client)
    kind = msgspec.structs.replace(snapshot.ticket_types[STANDING], code="standing-late")
    newer = msgspec.structs.replace(snapshot, ticket_types=(*snapshot.ticket_types, kind))
    await redis_client.set(
        f"{keys.prefix(SHARD, snapshot.occurrence)}:snapshot", msgspec.msgpack.encode(newer)
    )
    line = Line(type=len(snapshot.ticket_types), tier=0, price=1500, quantity=1)
    await record(redis_client, "order.placed", ordered(snapshot, 2, line))
    await drain(consumer, redis_client)
    assert [row[0] for row in await database.rows("order_lines", "ticket_type, tier")] == [
        "standing",
        "standing-late",
    ]


async def test_an_occurrence_that_redis_forgot_is_named_from_postgresql(
    redis_client: Redis, consumer: Consumer, database: Database
) -> None:
    gone = small_house()
    await enter(database.connection, gone)
    await record(redis_client, "order.placed", ordered(gone, 1))
    await drain(consumer, redis_client)
    assert (await database.counts())["order_lines"] == 1


async def test_redis_emptied_under_it_the_consumer_begins_anew(
    redis_client: Redis, snapshot: Snapshot, consumer: Consumer, database: Database
) -> None:
    await sell(redis_client, snapshot, 1)
    await drain(consumer, redis_client)
    await redis_client.flushall()
    await sell(redis_client, snapshot, 1, first=2)
    await drain(consumer, redis_client)
    assert (await database.counts())["orders"] == 2


async def test_a_round_ends_after_some_seconds_however_much_was_claimed(
    redis_client: Redis,
    snapshot: Snapshot,
    make_consumer: MakeConsumer,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(consumer_module, "_ROUND_S", 0.0)
    for shard in range(keys.SHARD_COUNT):
        for sequence in range(1, 6):
            await record(redis_client, "order.placed", ordered(snapshot, sequence, shard=shard))
        await redis_client.xgroup_create(keys.stream(shard), GROUP, id="0")
    await redis_client.xreadgroup(GROUP, "dead", dict.fromkeys(keys.STREAMS, ">"))
    consumer = make_consumer(batch=5, claim_idle_ms=0)
    rounds = []
    while (await read_backlog(redis_client)).records:
        rounds.append(await consumer.run_once())
    assert all(0 < written <= 2 * 5 for written in rounds)
    assert sum(rounds) == 5 * keys.SHARD_COUNT == (await database.counts())["orders"]


async def test_stopping_writes_what_was_read_and_leaves_the_group(
    redis_client: Redis, snapshot: Snapshot, make_consumer: MakeConsumer, database: Database
) -> None:
    consumer = make_consumer(batch=5)
    await sell(redis_client, snapshot, 30)
    await consumer.run_once()
    await consumer.stop()
    counts = await database.counts()
    left = await redis_client.xlen(STREAM)
    assert counts["order_events"] == 60 - left
    consumers: Any = await redis_client.xinfo_consumers(STREAM, GROUP)
    assert consumers == []
    await drain(make_consumer(), redis_client)
    assert (await database.counts())["order_events"] == 60


async def test_the_lag_is_the_age_of_the_oldest_record(redis_client: Redis) -> None:
    seconds, _ = await redis_client.time()
    await redis_client.xadd(keys.stream(3), {"k": "x"}, id=f"{(seconds - 90) * 1000}-0")
    await redis_client.xadd(keys.stream(4), {"k": "x"})
    backlog = await read_backlog(redis_client)
    assert backlog.records == 2
    assert backlog.lag_s >= 89
    await redis_client.flushall()
    assert await read_backlog(redis_client) == type(backlog)(records=0, lag_s=0.0)
