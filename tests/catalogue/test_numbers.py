"""Order numbers do not repeat, also when Redis was emptied before a publication."""

from __future__ import annotations

from uuid import UUID, uuid4

import msgspec
import pytest
from redis.asyncio import Redis
from sqlalchemy import text, update
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from engine.catalogue.models.events import Occurrence
from engine.catalogue.publish import publish_occurrence
from engine.core.ids import order_number, ticket_number
from engine.platform.valkey import keys
from tests.catalogue.conftest import Loader
from tests.catalogue.documents import edited, event

Factory = async_sessionmaker[AsyncSession]
SHARD = 7

_ORDER = text(
    "INSERT INTO orders (occurrence_id, id, organization_id, number, shard, sequence, version,"
    " state, buyer, hold_id, email, name, currency, subtotal, discount, platform_fee, payment_fee,"
    " tax, total, pay_by_ms, placed_at, changed_at, cancel_reason, document) VALUES"
    " (:occurrence, uuidv7(), uuidv7(), 'x', :shard, :sequence, 1, 'pending', 'x', uuidv7(), '',"
    " '', 'EUR', 0, 0, 0, 0, 0, 0, 0, now(), now(), '', '')"
)
_LETTER = text(
    "INSERT INTO dead_letters (stream, entry, kind, record, error)"
    " VALUES (:stream, :entry, :kind, :record, '')"
)


async def two_occurrences(factory: Factory, loader: Loader) -> list[UUID]:
    """An old occurrence and a new one of the same shard."""
    old = UUID((await loader(event())).occurrences[0].id)
    new = UUID((await loader(edited(event(), "event.slug", "macbeth"))).occurrences[0].id)
    async with factory.begin() as session:
        await session.execute(update(Occurrence).values(shard=SHARD))
    return [old, new]


async def next_sequence(client: Redis) -> int:
    return await client.incr(keys.sequence(SHARD))


async def test_after_redis_lost_its_data_a_new_occurrence_goes_on_counting(
    factory: Factory, redis_client: Redis, loader: Loader
) -> None:
    old, new = await two_occurrences(factory, loader)
    await publish_occurrence(factory, redis_client, old)
    given = [await next_sequence(redis_client) for _ in range(20)]
    async with factory.begin() as session:
        for sequence in given:
            values = {"occurrence": old, "shard": SHARD, "sequence": sequence}
            await session.execute(_ORDER, values)
        other = {"occurrence": old, "shard": SHARD + 1, "sequence": 5_000}  # counted apart
        await session.execute(_ORDER, other)
    await redis_client.flushall()
    await publish_occurrence(factory, redis_client, new)
    later = [await next_sequence(redis_client) for _ in range(20)]
    assert later == list(range(21, 41))
    at_ms = 1_800_000_000_000
    numbers = [order_number(SHARD, sequence, at_ms) for sequence in given + later]
    tickets = [ticket_number(SHARD, sequence, 0) for sequence in given + later]
    assert len(set(numbers)) == len(set(tickets)) == 40


@pytest.mark.parametrize(
    ("kind", "record", "following"),
    [
        ("order.placed", msgspec.msgpack.encode({"sequence": 99, "total": "poison"}), 100),
        ("order.placed", msgspec.msgpack.encode({"sequence": "99"}), 1),
        ("order.placed", b"\xc1", 1),
        ("order.placed", b"", 1),
        ("queue.called", msgspec.msgpack.encode({"sequence": 99}), 1),
    ],
)
async def test_records_that_wait_to_be_mended_keep_their_numbers(
    factory: Factory,
    redis_client: Redis,
    loader: Loader,
    kind: str,
    record: bytes,
    following: int,
) -> None:
    _, new = await two_occurrences(factory, loader)
    async with factory.begin() as session:
        for shard in (SHARD, SHARD + 1):
            values = {
                "stream": keys.stream(shard),
                "entry": uuid4().hex,
                "kind": kind,
                "record": record if shard == SHARD else msgspec.msgpack.encode({"sequence": 1_000}),
            }
            await session.execute(_LETTER, values)
    await publish_occurrence(factory, redis_client, new)
    assert await next_sequence(redis_client) == following
