from __future__ import annotations

from typing import Any

import msgspec
from redis.asyncio import Redis

from engine.sale.inventory.snapshot import Snapshot
from engine.write_behind.consumer import Consumer
from engine.write_behind.dead_letters import DeadLetter, replay, waiting
from engine.write_behind.names import NamesCache
from tests.houses import small_house
from tests.persist.conftest import (
    STREAM,
    Database,
    confirmed,
    drain,
    enter,
    ordered,
    record,
)


async def parked(database: Database) -> list[DeadLetter]:
    return [letter async for letter in waiting(database.connection)]


async def test_a_letter_is_replayed_once_its_cause_is_repaired(
    redis_client: Redis, consumer: Consumer, database: Database
) -> None:
    house = small_house()
    order = ordered(house, 1)
    await record(redis_client, "order.placed", order)
    await record(redis_client, "order.confirmed", confirmed(order))
    await drain(consumer, redis_client)
    letters = await parked(database)
    assert [letter.entry.kind for letter in letters] == ["order.placed", "order.confirmed"]
    assert "never published" in letters[0].error
    cache = NamesCache(redis_client)
    failed = await replay(database.connection, letters[0], cache)
    assert "never published" in failed.error
    assert [letter.attempts for letter in await parked(database)] == [2, 1]
    await enter(database.connection, house)
    for letter in letters:
        assert (await replay(database.connection, letter, cache)).error == ""
    assert await parked(database) == []
    assert await database.rows("orders", "state, version") == [("confirmed", 2)]
    assert (await database.counts())["tickets"] == 1
    assert await database.value("SELECT count(*) FROM dead_letters") == 2  # kept, as replayed
    # again, as after a crash before it was marked
    assert (await replay(database.connection, letters[0], cache)).error == ""
    assert (await database.counts())["order_events"] == 2


async def test_a_letter_that_was_overtaken_does_not_undo_what_came_after(
    redis_client: Redis, snapshot: Snapshot, consumer: Consumer, database: Database
) -> None:
    order = ordered(snapshot, 1)
    entry: Any = await redis_client.xadd(STREAM, {"k": "order.placed", "o": b"\xc1"})
    await record(redis_client, "order.confirmed", confirmed(order))
    await drain(consumer, redis_client)
    await database.connection.execute(
        "UPDATE dead_letters SET record = $1 WHERE entry = $2",
        msgspec.msgpack.encode(order),
        entry.decode(),
    )
    (letter,) = await parked(database)
    assert (await replay(database.connection, letter, NamesCache(redis_client))).error == ""
    assert await database.rows("orders", "state, version") == [("confirmed", 2)]
    assert [row[0] for row in await database.rows("order_events", "version, kind")] == [1, 2]


async def test_letters_are_listed_a_page_at_a_time(snapshot: Snapshot, database: Database) -> None:
    await database.connection.execute(
        "INSERT INTO dead_letters (stream, entry, kind, record, error)"
        " SELECT 's', n::text, 'k', '', 'e' FROM generate_series(1, 250) n"
    )
    assert len({letter.id for letter in await parked(database)}) == 250
