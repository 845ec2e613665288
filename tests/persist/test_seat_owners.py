"""Seats that are sold again: whatever the order of writing, the last owner has them."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Sequence
from typing import Any

import asyncpg
import msgspec
import pytest
from redis.asyncio import Redis

from engine.sale.documents import Order, RecordKind
from engine.sale.inventory.snapshot import Snapshot
from engine.write_behind import metrics
from engine.write_behind.consumer import GROUP, Batch
from engine.write_behind.names import NamesCache
from engine.write_behind.records import Entry, Record
from engine.write_behind.writer import write_records
from tests.houses import small_house
from tests.persist.conftest import (
    STREAM,
    Database,
    MakeConsumer,
    confirmed,
    drain,
    ordered,
    owed,
    record,
    refunded,
    stalls,
)

SEATS = 3
Step = tuple[RecordKind, Order]


def chain(snapshot: Snapshot, owners: int, *seats: int, first: int = 1) -> list[Step]:
    """What a stream has of seats with so many owners; the last of them keeps them."""
    steps: list[Step] = []
    for nth in range(owners):
        placed = ordered(snapshot, first + nth, stalls(*seats))
        bought = confirmed(placed)
        steps += [("order.placed", placed), ("order.confirmed", bought)]
        if nth < owners - 1:
            back = owed(bought)
            steps += [("order.refund_due", back), ("order.refunded", refunded(back))]
    return steps


def of_stream(steps: Sequence[Step]) -> list[Record]:
    """The records as a stream has them, one after the other in the same millisecond."""
    entries = [
        Entry(STREAM, f"1800000000000-{n}", kind, msgspec.msgpack.encode(order))
        for n, (kind, order) in enumerate(steps, start=8)  # from one digit to two
    ]
    return [Record(entry, kind, order) for entry, (kind, order) in zip(entries, steps, strict=True)]


async def check(database: Database, steps: Sequence[Step]) -> None:
    """Every order has its newest version, and its tickets are valid if that is confirmed."""
    newest: dict[str, Order] = {}
    for _, order in steps:
        if order.id not in newest or newest[order.id].version < order.version:
            newest[order.id] = order
    rows = await database.connection.fetch("SELECT id, version, state FROM orders")
    assert {row["id"].hex: (row["version"], row["state"]) for row in rows} == {
        order.id: (order.version, order.state) for order in newest.values()
    }
    tickets = await database.connection.fetch("SELECT order_id, status, version FROM tickets")
    assert {row["order_id"].hex for row in tickets} == {
        order.id for order in newest.values() if order.confirmed_at
    }
    for row in tickets:
        order = newest[row["order_id"].hex]
        valid = "valid" if order.state == "confirmed" else "void"
        assert (row["status"], row["version"]) == (valid, order.version)
    counts = await database.counts()
    assert counts["order_events"] == len({(order.id, order.version) for _, order in steps})
    assert counts["order_lines"] == len(newest)
    assert await database.value("SELECT coalesce(sum(amount), 0) FROM ledger_entries") == 0
    assert await database.value("SELECT count(*) FROM dead_letters") == 0


async def clear(database: Database) -> None:
    await database.connection.execute(
        "TRUNCATE orders, order_lines, tickets, payments, order_events, ledger_entries"
    )


async def test_any_order_of_writing_ends_the_same(
    redis_client: Redis, snapshot: Snapshot, database: Database
) -> None:
    steps = [step for step in chain(snapshot, 2, 0, 1) if step[0] != "order.placed"]
    cache = NamesCache(redis_client)
    for records in itertools.permutations(of_stream(steps)):
        for written in records:
            await write_records(database.connection, [written], cache)
        await check(database, steps)
        await clear(database)


@pytest.mark.parametrize("seed", range(12))
async def test_any_batches_in_any_order_and_any_repetition_end_the_same(
    redis_client: Redis, snapshot: Snapshot, database: Database, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 - the order of a test
    cache = NamesCache(redis_client)
    for _ in range(6):
        # two seats are sold together, then apart: an order may follow two others
        pair = chain(snapshot, rng.randint(2, 5), 0, 1)
        back = owed(pair[-1][1])
        steps = [*pair, ("order.refund_due", back), *chain(snapshot, rng.randint(1, 5), 1, first=9)]
        records = of_stream(steps)
        order = [*records, *rng.choices(records, k=3)]
        rng.shuffle(order)
        while order:
            size = rng.randint(1, len(order))
            await write_records(database.connection, order[:size], cache)
            del order[:size]
        await check(database, steps)
        await clear(database)


@pytest.mark.parametrize("seed", range(8))
async def test_workers_that_share_a_stream_and_die_in_it_end_the_same(
    redis_client: Redis,
    snapshot: Snapshot,
    make_consumer: MakeConsumer,
    database: Database,
    seed: int,
) -> None:
    rng = random.Random(seed)  # noqa: S311 - the order of a test
    chains = [chain(snapshot, rng.randint(2, 5), seat, first=1 + 9 * seat) for seat in range(SEATS)]
    steps: list[Step] = []
    while left := [steps_of for steps_of in chains if steps_of]:  # each in its own order
        steps.append(rng.choice(left).pop(0))
    for kind, order in steps:
        await record(redis_client, kind, order)
    for _ in range(6):  # of three workers one is killed at some moment
        tasks = [
            asyncio.create_task(make_consumer(batch=rng.randint(1, 4), claim_idle_ms=0).run_once())
            for _ in range(3)
        ]
        for _ in range(rng.randint(0, 40)):
            await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.gather(
        *(drain(make_consumer(batch=2, claim_idle_ms=0), redis_client) for _ in range(2))
    )
    await check(database, steps)


async def test_a_new_owner_does_not_wait_for_the_return_of_the_old_one(
    redis_client: Redis, snapshot: Snapshot, make_consumer: MakeConsumer, database: Database
) -> None:
    old = confirmed(ordered(snapshot, 1, stalls(0)))
    await record(redis_client, "order.confirmed", old)
    await drain(make_consumer(), redis_client)
    await record(redis_client, "order.refund_due", owed(old))
    held: Any = await redis_client.xreadgroup(GROUP, "frozen", {STREAM: ">"})
    assert len(held[0][1]) == 1
    new = confirmed(ordered(snapshot, 2, stalls(0)))
    await record(redis_client, "order.confirmed", new)
    assert await make_consumer(claim_idle_ms=60_000).run_once() == 1
    rows = await database.connection.fetch("SELECT order_id, status FROM tickets")
    assert {row["order_id"].hex: row["status"] for row in rows} == {old.id: "void", new.id: "valid"}
    await drain(make_consumer(claim_idle_ms=0), redis_client)
    await check(
        database,
        [("order.confirmed", old), ("order.refund_due", owed(old)), ("order.confirmed", new)],
    )


async def test_a_return_that_is_poison_does_not_stop_those_who_buy_the_seat(
    redis_client: Redis, snapshot: Snapshot, make_consumer: MakeConsumer, database: Database
) -> None:
    old = confirmed(ordered(snapshot, 1, stalls(0)))
    await record(redis_client, "order.confirmed", old)
    await record(redis_client, "order.refund_due", msgspec.structs.replace(owed(old), name="\x00"))
    new = confirmed(ordered(snapshot, 2, stalls(0)))
    await record(redis_client, "order.confirmed", new)
    await drain(make_consumer(), redis_client)
    assert await database.value("SELECT count(*) FROM dead_letters") == 1
    valid = await database.connection.fetch("SELECT order_id FROM tickets WHERE status = 'valid'")
    assert [row["order_id"].hex for row in valid] == [new.id]


async def test_two_orders_that_really_have_a_seat_are_both_written_and_one_ticket_is_void(
    redis_client: Redis, snapshot: Snapshot, make_consumer: MakeConsumer, database: Database
) -> None:
    both = [confirmed(ordered(snapshot, n, stalls(0))) for n in (1, 2)]
    for order in both:
        await record(redis_client, "order.confirmed", order)
    await drain(make_consumer(), redis_client)
    assert (await database.counts())["orders"] == 2
    rows = await database.connection.fetch("SELECT order_id, status FROM tickets")
    assert {row["order_id"].hex: row["status"] for row in rows} == {
        both[0].id: "void",
        both[1].id: "valid",
    }
    assert await database.value("SELECT count(*) FROM dead_letters") == 0


async def test_an_order_that_names_a_seat_twice_is_parked(
    redis_client: Redis, snapshot: Snapshot, make_consumer: MakeConsumer, database: Database
) -> None:
    await record(redis_client, "order.confirmed", confirmed(ordered(snapshot, 1, stalls(0, 0))))
    await record(redis_client, "order.confirmed", confirmed(ordered(snapshot, 2, stalls(1))))
    await drain(make_consumer(), redis_client)
    assert (await database.counts())["orders"] == 1
    letter = await database.connection.fetchrow("SELECT * FROM dead_letters")
    assert "uq_tickets_live_seat" in letter["error"]


async def test_transactions_that_would_wait_for_each_other_in_a_circle_are_written(
    redis_client: Redis, snapshot: Snapshot, pool: asyncpg.Pool, database: Database
) -> None:
    cache = NamesCache(redis_client)
    sold = [confirmed(ordered(snapshot, 1 + seat, stalls(seat))) for seat in range(2)]
    new = [confirmed(ordered(snapshot, 3 + seat, stalls(seat))) for seat in range(2)]
    steps: list[Step] = [("order.confirmed", order) for order in sold]
    await write_records(database.connection, of_stream(steps), cache)
    steps += [("order.refund_due", owed(order)) for order in sold]
    steps += [("order.confirmed", order) for order in new]
    records = of_stream(steps)
    async with pool.acquire() as one, pool.acquire() as other:
        await asyncio.gather(
            write_records(one, [records[2], records[5]], cache),  # frees the first, sells the other
            write_records(other, [records[3], records[4]], cache),
        )
    await check(database, steps)


async def test_what_another_transaction_holds_is_waited_for_and_not_parked(
    redis_client: Redis,
    snapshot: Snapshot,
    make_consumer: MakeConsumer,
    pool: asyncpg.Pool,
    database: Database,
) -> None:
    order = ordered(snapshot, 1, stalls(0))
    await record(redis_client, "order.placed", order)
    await drain(make_consumer(), redis_client)
    await record(redis_client, "order.confirmed", confirmed(order))
    alone = metrics.ALONE._value.get()
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("SELECT FROM orders FOR UPDATE")  # as somebody at psql
        writing = asyncio.create_task(make_consumer().run_once())
        async with asyncio.timeout(30):
            while metrics.ALONE._value.get() == alone:  # noqa: ASYNC110 - PostgreSQL gives up first
                await asyncio.sleep(0.01)
        await transaction.rollback()
    assert await writing == 1
    assert await database.value("SELECT state FROM orders") == "confirmed"


def lanes_of(steps: Sequence[Step]) -> list[list[tuple[str, int]]]:
    batch = Batch()
    batch.add(
        STREAM,
        [
            (b"1-%d" % n, {b"k": kind.encode(), b"o": msgspec.msgpack.encode(order)})
            for n, (kind, order) in enumerate(steps)
        ],
    )
    assert batch.left == len(batch) == len(steps)
    found = batch.lanes()
    assert batch.left == len(steps)
    return [
        [(record.order.id, record.order.version) for record in lane if isinstance(record, Record)]
        for lane in found
    ]


def test_orders_of_a_seat_that_changes_hands_share_a_lane_in_the_order_of_the_stream() -> None:
    house = small_house()
    steps = chain(house, 5, 0)
    others = [step for seat in range(1, 5) for step in chain(house, 1, seat)]
    first, *rest = lanes_of([*steps, *others])
    seats_owners = [(order.id, order.version) for _, order in steps]
    assert [key for key in first if key in seats_owners] == seats_owners
    assert sum(map(len, rest)) <= len(others)


def test_without_returns_all_lanes_have_work() -> None:
    house = small_house()
    steps = [step for n in range(40) for step in chain(house, 1, n % 5, first=n)]
    found = lanes_of(steps)
    assert all(found)
    assert sorted(itertools.chain(*found)) == sorted((o.id, o.version) for _, o in steps)
