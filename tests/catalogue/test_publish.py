from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from engine.catalogue.models.events import Event, Occurrence, SeatMapSnapshot
from engine.catalogue.publish import publish_occurrence
from engine.catalogue.snapshot import latest_snapshot
from engine.core.errors import ConflictError, NotFoundError
from engine.core.ids import new_id
from engine.platform.postgres.outbox import Outbox
from engine.sale.errors import OccurrenceUnknownError
from engine.sale.inventory import publication
from engine.sale.inventory.inspection import read_counters, read_snapshot
from tests.catalogue.conftest import Loader
from tests.catalogue.documents import edited, event, plan

Factory = async_sessionmaker[AsyncSession]


async def _published(factory: Factory, client: Redis, loader: Loader) -> UUID:
    occurrence = UUID((await loader(event())).occurrences[0].id)
    await publish_occurrence(factory, client, occurrence)
    return occurrence


async def _versions(factory: Factory) -> int:
    async with factory() as session:
        return await session.scalar(select(func.count()).select_from(SeatMapSnapshot)) or 0


async def test_publication_puts_the_snapshot_into_both_stores(
    factory: Factory, redis_client: Redis, loader: Loader
) -> None:
    occurrence = UUID((await loader(event())).occurrences[0].id)
    done = await publish_occurrence(factory, redis_client, occurrence)
    assert (done.outcome, done.version, done.seats, done.general) == ("published", 1, 16, 10)
    on_sale = await read_snapshot(redis_client, occurrence.hex)
    async with factory() as session:
        assert await latest_snapshot(session, occurrence) == (1, on_sale)
        stored = await session.get_one(Occurrence, occurrence)
        assert (stored.status, stored.shard) == ("published", done.shard)
        assert (await session.get_one(Event, stored.event_id)).status == "published"
        kinds = list(await session.scalars(select(Outbox.kind)))
        assert kinds == ["event.published"]
    counters = await read_counters(redis_client, done.shard, occurrence.hex)
    for counter in counters:
        assert counter.free + counter.blocked == counter.capacity


async def test_publishing_twice_without_an_edit_changes_nothing(
    factory: Factory, redis_client: Redis, loader: Loader
) -> None:
    occurrence = await _published(factory, redis_client, loader)
    keys = {key: await redis_client.dump(key) for key in await redis_client.keys()}
    assert (await loader(event())).unchanged
    done = await publish_occurrence(factory, redis_client, occurrence)
    assert (done.outcome, done.version, done.changes) == ("unchanged", 1, ())
    assert await _versions(factory) == 1
    assert {key: await redis_client.dump(key) for key in await redis_client.keys()} == keys


async def test_an_edit_reaches_the_sale(
    factory: Factory, redis_client: Redis, loader: Loader
) -> None:
    occurrence = await _published(factory, redis_client, loader)
    document = edited(event(), "ticket_types.0.tiers.1.price", "27.00")
    document = edited(document, "ticket_types.3.quantity", 15)
    document = edited(document, "allocations.0.seats", ["Left-1-2", "Left-1-3"])
    assert (await loader(document)).occurrences[0].published
    done = await publish_occurrence(factory, redis_client, occurrence)
    assert (done.outcome, done.version) == ("republished", 2)
    assert set(done.changes) == {
        'quota "standing": capacity 10 -> 15',
        'ticket type "stalls": tier "regular": price 2500 -> 2700',
        "1 seats set aside: Left-1-3",
        "1 seats released: Left-1-1",
    }
    async with factory() as session:
        version, stored = await latest_snapshot(session, occurrence)
    assert (version, stored) == (2, await read_snapshot(redis_client, occurrence.hex))
    counters = await read_counters(redis_client, done.shard, occurrence.hex)
    standing = next(item for item in counters if item.key == "quota:standing")
    assert (standing.capacity, standing.free, standing.blocked) == (15, 11, 4)


@pytest.mark.parametrize(
    ("path", "value", "refusal"),
    [
        ("event.tax_percent", "19", "tax rate cannot change"),
        ("ticket_types.3.quantity", 9, "capacity 10 -> 9 cannot be lowered"),
        ("ticket_types.2", ..., '"balcony" is on sale'),
        ("ticket_types.0.tiers.0", ..., 'tier "early" is on sale'),
        ("ticket_types.1.quotas", [], "quotas cannot change"),
        ("ticket_types.2.category", "Stalls", "category cannot change"),
    ],
)
async def test_loading_refuses_what_a_running_sale_forbids_and_changes_nothing(
    factory: Factory, redis_client: Redis, loader: Loader, path: str, value: object, refusal: str
) -> None:
    await _published(factory, redis_client, loader)
    with pytest.raises(ConflictError, match=refusal):
        await loader(edited(edited(event(), path, value), "event.name", "Other"))
    assert (await loader(event())).unchanged


async def test_a_sale_keeps_its_seat_map_when_the_venue_gets_another(
    factory: Factory, redis_client: Redis, loader: Loader
) -> None:
    occurrence = await _published(factory, redis_client, loader)
    loaded = await loader(event(), edited(plan(), "zones.1.position.x", 300))
    assert any("keeps the seat map" in notice for notice in loaded.notices)
    done = await publish_occurrence(factory, redis_client, occurrence)
    assert done.outcome == "unchanged"


async def test_a_publication_that_did_not_commit_is_taken_up_again(
    factory: Factory, redis_client: Redis, loader: Loader
) -> None:
    occurrence = await _published(factory, redis_client, loader)
    async with factory.begin() as session:  # as if the first commit had failed
        await session.delete((await session.scalars(select(SeatMapSnapshot))).one())
        await session.execute(update(Occurrence).values(status="draft"))
    await loader(edited(event(), "ticket_types.2.price", "13.00"))
    done = await publish_occurrence(factory, redis_client, occurrence)
    assert (done.outcome, done.version) == ("published", 1)
    on_sale = await read_snapshot(redis_client, occurrence.hex)
    assert on_sale.ticket_types[2].tiers[0].price == 1300
    async with factory() as session:
        assert await latest_snapshot(session, occurrence) == (1, on_sale)


async def test_a_refusal_of_the_store_leaves_postgresql_as_it_was(
    factory: Factory, redis_client: Redis, loader: Loader
) -> None:
    occurrence = await _published(factory, redis_client, loader)
    on_sale = await read_snapshot(redis_client, occurrence.hex)
    bigger = replace(on_sale.quotas[1], capacity=50)  # somebody's edit that only Redis knows
    await publication.republish(redis_client, replace(on_sale, quotas=(on_sale.quotas[0], bigger)))
    await loader(edited(event(), "event.name", "Other"))
    with pytest.raises(ConflictError, match="cannot be lowered"):
        await publish_occurrence(factory, redis_client, occurrence)
    assert await _versions(factory) == 1


async def test_a_sale_that_redis_lost_is_never_published_afresh(
    factory: Factory, redis_client: Redis, loader: Loader
) -> None:
    occurrence = await _published(factory, redis_client, loader)
    await redis_client.flushall()
    with pytest.raises(OccurrenceUnknownError, match=f"onsale rebuild {occurrence.hex}"):
        await publish_occurrence(factory, redis_client, occurrence)
    assert await redis_client.dbsize() == 0


async def test_a_cancelled_occurrence_is_not_published(
    factory: Factory, redis_client: Redis, loader: Loader
) -> None:
    occurrence = UUID((await loader(event())).occurrences[0].id)
    async with factory.begin() as session:
        await session.execute(update(Occurrence).values(status="cancelled"))
    with pytest.raises(ConflictError, match="occurrence is cancelled"):
        await publish_occurrence(factory, redis_client, occurrence)
    with pytest.raises(NotFoundError):
        await publish_occurrence(factory, redis_client, UUID(new_id()))
    assert await redis_client.dbsize() == 0


async def test_two_publications_at_once_publish_once(
    factory: Factory, redis_client: Redis, loader: Loader
) -> None:
    occurrence = UUID((await loader(event())).occurrences[0].id)
    done = await asyncio.gather(
        *(publish_occurrence(factory, redis_client, occurrence) for _ in range(3))
    )
    assert sorted(item.outcome for item in done) == ["published", "unchanged", "unchanged"]
    assert await _versions(factory) == 1
