"""How many records may be parked before the consumer stops, and what stops it not."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis

from engine.platform.jobs.errors import MustStopError
from engine.sale.inventory.snapshot import Snapshot
from engine.write_behind import metrics
from engine.write_behind.applier import Bad
from engine.write_behind.dead_letters import replay, waiting
from engine.write_behind.names import NamesCache
from engine.write_behind.parking import DRAINED_S, WRITTEN_A_PARKED, Parking
from engine.write_behind.records import Entry
from tests.persist.conftest import STREAM, Database, MakeConsumer, drain, ordered, record
from tests.persist.test_consumer import sell


def letters(*numbers: int) -> list[Bad]:
    return [Bad(Entry(STREAM, f"1-{n}", "order.placed", b"x"), ValueError("no")) for n in numbers]


async def poison(client: Redis, snapshot: Snapshot, count: int, *, first: int = 50) -> None:
    for sequence in range(first, first + count):
        await record(client, "order.placed", ordered(snapshot, sequence, total=1))


async def test_too_many_parked_records_stop_the_consumer_loudly_and_lose_nothing(
    redis_client: Redis,
    snapshot: Snapshot,
    make_consumer: MakeConsumer,
    database: Database,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for sequence in range(5):
        await record(redis_client, "order.placed", ordered(snapshot, 50 + sequence, total=1))
    with caplog.at_level(logging.ERROR), pytest.raises(MustStopError, match="dead-letters"):
        await drain(make_consumer(dead_max=3), redis_client)
    assert await database.value("SELECT count(*) FROM dead_letters") == 3
    letters = {row[0] for row in await database.rows("dead_letters", "entry, stream")}
    left: Any = await redis_client.xrange(STREAM)
    assert len(letters | {entry.decode() for entry, _ in left}) == 5
    assert metrics.DEAD_LETTERS._value.get() == 3
    assert "parked" in caplog.text
    with pytest.raises(MustStopError):  # starting again does not help
        await make_consumer(dead_max=3).run_once()
    await drain(make_consumer(dead_max=9, claim_idle_ms=0), redis_client)
    assert await database.value("SELECT count(*) FROM dead_letters") == 5


async def test_letters_of_earlier_troubles_stop_nobody(
    redis_client: Redis, snapshot: Snapshot, make_consumer: MakeConsumer, database: Database
) -> None:
    await database.connection.execute(
        "INSERT INTO dead_letters (stream, entry, kind, record, error)"
        " SELECT 'x', n::text, 'order.placed', '', 'long ago' FROM generate_series(1, 50) n"
    )
    await sell(redis_client, snapshot, 5)
    await poison(redis_client, snapshot, 1)
    await drain(make_consumer(dead_max=3), redis_client)
    assert (await database.counts())["orders"] == 5
    assert await database.value("SELECT count(*) FROM dead_letters") == 51
    assert metrics.DEAD_LETTERS._value.get() == 51  # they are seen all the same


async def test_a_few_bad_records_among_many_that_are_written_stop_nobody(
    pool: asyncpg.Pool, database: Database
) -> None:
    parking = Parking(pool, 3)
    for number in range(20):
        parking.wrote(WRITTEN_A_PARKED)
        assert await parking.park(letters(number)) == 1
        await parking.check()
    assert await database.value("SELECT count(*) FROM dead_letters") == 20


@pytest.mark.parametrize("drained", [0.25, 0.5, 2.0])
async def test_what_was_parked_counts_less_with_time(
    pool: asyncpg.Pool, database: Database, drained: float
) -> None:
    parking = Parking(pool, 8)
    assert await parking.park(letters(*range(9))) == 8
    with pytest.raises(MustStopError):
        await parking.check()
    await database.connection.execute(
        "UPDATE dead_letter_level SET measured_at = measured_at - $1 * interval '1 second'",
        DRAINED_S * drained,
    )
    await parking.check()
    assert await parking.park(letters(*range(20, 40))) == min(int(8 * drained), 8)
    with pytest.raises(MustStopError):
        await parking.check()


async def test_what_is_replayed_makes_room(
    redis_client: Redis, snapshot: Snapshot, make_consumer: MakeConsumer, database: Database
) -> None:
    await poison(redis_client, snapshot, 3)
    await drain(make_consumer(dead_max=3), redis_client)
    with pytest.raises(MustStopError):
        await make_consumer(dead_max=3).run_once()
    await database.connection.execute("ALTER TABLE orders DROP CONSTRAINT ck_orders_total")
    cache = NamesCache(redis_client)
    async for letter in waiting(database.connection):
        assert not (await replay(database.connection, letter, cache)).error
    await sell(redis_client, snapshot, 2)
    await drain(make_consumer(dead_max=3), redis_client)
    assert (await database.counts())["orders"] == 5


async def test_lanes_and_workers_that_park_at_once_keep_the_limit(
    pool: asyncpg.Pool, database: Database
) -> None:
    parked = await asyncio.gather(
        *(Parking(pool, 10).park(letters(*range(10 * n, 10 * n + 3))) for n in range(12))
    )
    assert sum(parked) == 10
    assert await database.value("SELECT count(*) FROM dead_letters") == 10


async def test_the_good_records_of_a_batch_are_written_whatever_is_parked_or_stops_it(
    redis_client: Redis, snapshot: Snapshot, make_consumer: MakeConsumer, database: Database
) -> None:
    for number in range(6):
        await poison(redis_client, snapshot, 2, first=50 + 2 * number)
        await redis_client.xadd(STREAM, {"k": "order.forgotten", "o": b""})
        await sell(redis_client, snapshot, 2, first=1 + 2 * number)
    with pytest.raises(MustStopError):
        await drain(make_consumer(dead_max=7), redis_client)
    assert (await database.counts())["orders"] == 12
    assert (await database.counts())["order_events"] == 24
    assert await database.value("SELECT count(*) FROM dead_letters") == 7
    left: Any = await redis_client.xlen(STREAM)
    assert left == 18 - 7


async def test_a_record_that_is_parked_twice_is_one_letter(
    pool: asyncpg.Pool, database: Database
) -> None:
    parking = Parking(pool, 9)
    for _ in range(3):
        assert await parking.park(letters(1, 2)) == 2
    assert await database.rows("dead_letters", "entry, attempts") == [("1-1", 3), ("1-2", 3)]
