"""Records of waiting rooms: written with the orders, once, and out of nobody's way."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import asyncpg
import msgspec
import pytest
from redis.asyncio import Redis

from engine.audit.rebuild import rebuild
from engine.core.ids import new_id
from engine.core.settings import Settings
from engine.platform.valkey import keys
from engine.queue.documents import QueueRecord, QueueRecordKind
from engine.sale.inventory.snapshot import Snapshot
from engine.write_behind import metrics
from engine.write_behind.backlog import read_backlog
from engine.write_behind.consumer import Consumer
from engine.write_behind.dead_letters import replay, waiting
from engine.write_behind.names import NamesCache
from tests.houses import small_house
from tests.persist.conftest import (
    NOW_MS,
    SHARD,
    STREAM,
    Database,
    MakeConsumer,
    drain,
    enter,
    ordered,
    record,
)
from tests.persist.test_audit import Auditor, provider, sold
from tests.persist.test_consumer import sell

__all__ = ["provider", "sold"]

_COLUMNS = "entry, kind, happened_at, number, buyer, detail"


async def told(client: Redis, kind: QueueRecordKind, occurrence: str, **members: Any) -> str:
    """Append a record as the scripts do; return its id in the stream."""
    document = {"occurrence": occurrence, "at": NOW_MS, **members}
    packed = msgspec.msgpack.encode(document)
    entry: Any = await client.xadd(keys.stream(SHARD), {"k": kind, "q": packed})
    return str(entry.decode())


async def letters(database: Database) -> list[tuple[Any, ...]]:
    return await database.rows("dead_letters", "entry, kind, record, error")


async def test_records_become_rows_and_leave_the_stream(
    redis_client: Redis, snapshot: Snapshot, consumer: Consumer, database: Database
) -> None:
    occurrence, buyer = snapshot.occurrence, new_id()
    entries = [
        await told(redis_client, "queue.command", occurrence, actor="ada", command="open"),
        await told(redis_client, "queue.closed_roster", occurrence, n=9),
        await told(redis_client, "queue.drawn", occurrence, n=9, digest="d", seed="s"),
        await told(redis_client, "queue.called", occurrence, first=1, last=5, empty=2),
        await told(redis_client, "queue.entered", occurrence, buyer=buyer, number=4, until=7),
        await told(redis_client, "queue.ended", occurrence, buyer=buyer, number=4, how="done"),
    ]
    assert await consumer.run_once() == 6
    assert await redis_client.xlen(STREAM) == 0
    rows = await database.rows("queue_events", _COLUMNS)
    details = [json.loads(row[-1]) for row in rows]
    assert [(entry, kind, at, number, who) for entry, kind, at, number, who, _ in rows] == [
        (entries[0], "queue.command", NOW_MS, None, None),
        (entries[1], "queue.closed_roster", NOW_MS, None, None),
        (entries[2], "queue.drawn", NOW_MS, None, None),
        (entries[3], "queue.called", NOW_MS, None, None),
        (entries[4], "queue.entered", NOW_MS, 4, buyer),
        (entries[5], "queue.ended", NOW_MS, 4, buyer),
    ]
    assert details == [
        {"actor": "ada", "command": "open"},
        {"n": 9},
        {"n": 9, "digest": "d", "seed": "s"},
        {"first": 1, "last": 5, "empty": 2},
        {"until": 7},
        {"how": "done"},
    ]


async def test_a_member_that_this_version_does_not_know_is_kept(
    redis_client: Redis, snapshot: Snapshot, consumer: Consumer, database: Database
) -> None:
    await told(redis_client, "queue.drawn", snapshot.occurrence, n=1, later={"x": [1]})
    await drain(consumer, redis_client)
    detail = await database.value("SELECT detail FROM queue_events")
    assert json.loads(detail) == {"n": 1, "later": {"x": [1]}}


async def test_they_share_the_transactions_of_the_orders(
    redis_client: Redis, snapshot: Snapshot, make_consumer: MakeConsumer, database: Database
) -> None:
    consumer = make_consumer()
    for number in range(1, 41):
        await sell(redis_client, snapshot, 1, first=number)
        await told(
            redis_client, "queue.entered", snapshot.occurrence, buyer=new_id(), number=number
        )
    batches = metrics.BATCHES._value.get()
    await drain(consumer, redis_client)
    assert metrics.BATCHES._value.get() == batches + 2  # one a lane
    assert (await database.counts())["order_events"] == 80
    assert await database.value("SELECT count(*) FROM queue_events") == 40


async def test_delivered_again_they_change_nothing(
    redis_client: Redis,
    snapshot: Snapshot,
    make_consumer: MakeConsumer,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number in range(1, 31):
        await told(
            redis_client, "queue.entered", snapshot.occurrence, buyer=new_id(), number=number
        )
    dying = make_consumer()

    class Killed(BaseException):
        pass

    async def die(_: object) -> None:
        raise Killed

    monkeypatch.setattr(dying, "_acknowledge", die)
    with pytest.raises(Killed):
        await dying.run_once()
    before = await database.rows("queue_events", _COLUMNS)
    assert len(before) == 30
    monkeypatch.setattr(dying, "_unwritten", type(dying._unwritten)())  # it is dead
    await drain(make_consumer(claim_idle_ms=0, batch=7), redis_client)
    assert await database.rows("queue_events", _COLUMNS) == before
    assert await letters(database) == []


async def test_two_consumers_with_the_same_records_at_once_write_them_once(
    redis_client: Redis, snapshot: Snapshot, make_consumer: MakeConsumer, database: Database
) -> None:
    for number in range(1, 61):
        await sell(redis_client, snapshot, 1, first=number)
        await told(
            redis_client, "queue.entered", snapshot.occurrence, buyer=new_id(), number=number
        )
    consumers = [make_consumer(batch=200, claim_idle_ms=0) for _ in range(3)]
    for consumer in consumers:
        await consumer._begin()
    batches = [await consumers[0]._read(block_ms=None)]
    for consumer in consumers[1:]:
        batches.append(type(batches[0])())
        await consumer._claim(batches[-1])
    assert [len(batch) for batch in batches] == [180, 180, 180]
    await asyncio.gather(
        *(consumer._write(batch) for consumer, batch in zip(consumers, batches, strict=True))
    )
    assert await database.value("SELECT count(*) FROM queue_events") == 60
    assert (await database.counts())["order_events"] == 120
    assert await letters(database) == []


async def test_the_same_entry_of_another_occurrence_is_another_row(
    redis_client: Redis, snapshot: Snapshot, consumer: Consumer, database: Database
) -> None:
    other = small_house()
    await enter(database.connection, other, shard=SHARD + 1)
    packed = [
        msgspec.msgpack.encode(QueueRecord(occurrence=occurrence, at=NOW_MS, n=1))
        for occurrence in (snapshot.occurrence, other.occurrence)
    ]
    for shard, document in zip((SHARD, SHARD + 1), packed, strict=True):
        fields: Any = {"k": "queue.drawn", "q": document}
        await redis_client.xadd(keys.stream(shard), fields, id="1800000000000-0")
    while (await read_backlog(redis_client)).records:
        await consumer.run_once()
    assert await database.value("SELECT count(*) FROM queue_events") == 2


_BAD: dict[str, tuple[str, dict[str, Any] | bytes]] = {
    "no msgpack": ("queue.called", b"\xc1"),
    "nothing": ("queue.called", b""),
    "a kind that there is not": ("queue.forgotten", {"n": 1}),
    "a member of another type": ("queue.called", {"first": "one", "last": 5}),
    "a call of nobody": ("queue.called", {}),
    "a call backwards": ("queue.called", {"first": 5, "last": 4}),
    "more empty places than places": ("queue.called", {"first": 1, "last": 2, "empty": 3}),
    "nobody who enters": ("queue.entered", {"number": 4}),
    "nobody whose pass ends": ("queue.ended", {"number": 4, "how": "left"}),
    "no command": ("queue.command", {"actor": "ada"}),
    "an occurrence that is no id": ("queue.drawn", {"occurrence": "tonight"}),
    "an occurrence that nobody knows": ("queue.drawn", {"occurrence": "0" * 32}),
    "text that PostgreSQL does not take": ("queue.drawn", {"digest": "a\0b"}),
    "a number that is none": ("queue.entered", {"number": -4, "buyer": "b"}),
    "a number that is too large": ("queue.entered", {"number": 2**63, "buyer": "b"}),
    "a time that is none": ("queue.drawn", {"at": 2**62}),
}


@pytest.mark.parametrize("case", _BAD)
async def test_a_bad_record_is_parked_and_the_rest_is_written(
    redis_client: Redis, snapshot: Snapshot, consumer: Consumer, database: Database, case: str
) -> None:
    kind, members = _BAD[case]
    document = members
    if isinstance(members, dict):
        document = msgspec.msgpack.encode(
            {"occurrence": snapshot.occurrence, "at": NOW_MS, **members}
        )
    await sell(redis_client, snapshot, 3)
    fields: Any = {"k": kind, "q": document}
    await redis_client.xadd(STREAM, fields)
    await told(redis_client, "queue.called", snapshot.occurrence, first=1, last=5)
    await drain(consumer, redis_client)
    (letter,) = await letters(database)
    assert letter[1:3] == (kind, document)
    assert (await database.counts())["orders"] == 3
    assert await database.rows("queue_events", "kind, number") == [("queue.called", None)]


async def test_a_letter_is_replayed_once_its_cause_is_repaired(
    redis_client: Redis, consumer: Consumer, database: Database
) -> None:
    house = small_house()
    entry = await told(redis_client, "queue.called", house.occurrence, first=1, last=5)
    await drain(consumer, redis_client)
    (letter,) = [found async for found in waiting(database.connection)]
    cache = NamesCache(redis_client)
    assert "occurrences" in (await replay(database.connection, letter, cache)).error
    await enter(database.connection, house)
    for _ in range(2):  # the second as after a crash before it was marked
        assert (await replay(database.connection, letter, cache)).error == ""
    assert await database.rows("queue_events", "entry, kind") == [(entry, "queue.called")]
    assert [found async for found in waiting(database.connection)] == []


async def test_the_audit_counts_them_and_compares_nothing_else(
    sold: Auditor, redis_client: Redis, make_consumer: MakeConsumer
) -> None:
    occurrence = sold.box.occurrence
    before = (await sold.report()).queue_events
    await told(redis_client, "queue.called", occurrence, first=1, last=5)
    await drain(make_consumer(), redis_client)
    fields: Any = {"k": "queue.called", "q": b"\xc1"}
    await redis_client.xadd(STREAM, fields)
    await told(redis_client, "queue.called", occurrence, first=6, last=7)
    report = await sold.report()
    assert [(check.name, check.findings) for check in report.checks if check.failed] == []
    assert (report.queue_events, report.in_flight) == (before + 1, 2)


async def test_a_rebuild_writes_them_first(
    sold: Auditor, redis_client: Redis, pool: asyncpg.Pool, settings: Settings, database: Database
) -> None:
    before = await database.value("SELECT count(*) FROM queue_events")
    await told(redis_client, "queue.called", sold.box.occurrence, first=1, last=5)
    await redis_client.delete(f"{sold.prefix}:conf")
    await rebuild(redis_client, pool, settings, sold.box.occurrence)
    assert await redis_client.xlen(STREAM) == 0
    assert await database.value("SELECT count(*) FROM queue_events") == before + 1
    assert (await sold.report()).ok


async def test_an_order_that_fails_takes_no_record_of_the_line_with_it(
    redis_client: Redis, snapshot: Snapshot, consumer: Consumer, database: Database
) -> None:
    for number in range(1, 9):
        await told(
            redis_client, "queue.entered", snapshot.occurrence, buyer=new_id(), number=number
        )
        await record(redis_client, "order.placed", ordered(snapshot, number, total=number % 2))
    await drain(consumer, redis_client)
    assert await database.value("SELECT count(*) FROM queue_events") == 8
    assert len(await letters(database)) == 8
