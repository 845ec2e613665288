from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from engine.catalogue.files import read_event
from engine.catalogue.load import load, shard_of
from engine.catalogue.models.events import Event, Occurrence
from engine.catalogue.models.ticketing import (
    Allocation,
    AllocationSeat,
    PriceTier,
    Quota,
    TicketType,
)
from engine.catalogue.models.venues import Seat, SeatMap, Venue
from engine.catalogue.seat_maps import newest_seat_map, read_seat_map
from engine.catalogue.seating_plan import read_plan
from engine.core.errors import ConflictError
from engine.platform.postgres.base import Base
from tests.catalogue.conftest import Loader
from tests.catalogue.documents import DEMO, HALL, edited, event, plan, written

Factory = async_sessionmaker[AsyncSession]


async def _count(factory: Factory, model: type[Base]) -> int:
    async with factory() as session:
        return await session.scalar(select(func.count()).select_from(model)) or 0


async def _contents(factory: Factory) -> dict[str, list[Any]]:
    async with factory() as session:
        return {
            table.name: sorted(map(str, (await session.execute(select(table))).all()))
            for table in Base.metadata.sorted_tables
        }


async def test_loading_writes_everything(factory: Factory, loader: Loader) -> None:
    loaded = await loader(event())
    assert not loaded.unchanged
    assert loaded.seats_added == 16
    assert [item.key for item in loaded.occurrences] == ["premiere"]
    async with factory() as session:
        occurrence = (await session.scalars(select(Occurrence))).one()
        assert occurrence.id.hex == loaded.occurrences[0].id
        assert occurrence.shard == shard_of(occurrence.id)
        assert occurrence.starts_at == datetime(2031, 5, 1, 18, tzinfo=UTC)
        prices = await session.scalars(select(PriceTier.price).order_by(PriceTier.price))
        assert list(prices) == [800, 1250, 1500, 2000, 2500]
        quotas = await session.execute(select(Quota.code, Quota.capacity).order_by(Quota.code))
        assert [tuple(row) for row in quotas] == [("reduced", 5), ("standing", 10)]
    assert await _count(factory, AllocationSeat) == 2


async def test_loading_twice_changes_nothing(factory: Factory, loader: Loader) -> None:
    await loader(event())
    before = await _contents(factory)
    assert (await loader(event())).unchanged
    assert await _contents(factory) == before


async def test_loading_the_demo_twice_changes_nothing(factory: Factory) -> None:
    catalogue = await asyncio.to_thread(read_event, DEMO)
    for expected in (False, True):
        async with factory.begin() as session:
            assert (await load(session, catalogue)).unchanged is expected
    assert await _count(factory, Seat) == 1252


async def test_two_loadings_at_once_load_once(factory: Factory, tmp_path: Path) -> None:
    catalogue = await asyncio.to_thread(read_event, written(tmp_path, event()))

    async def once() -> bool:
        async with factory.begin() as session:
            return (await load(session, catalogue)).unchanged

    assert sorted(await asyncio.gather(once(), once(), once())) == [False, True, True]
    assert await _count(factory, Seat) == 16


async def test_relative_times_keep_the_moment_of_the_first_loading(
    factory: Factory, loader: Loader
) -> None:
    document = edited(event(), "occurrences.0.sale_starts_at", "now")
    document = edited(document, "occurrences.0.starts_at", "in 30 days at 20:00")
    document = edited(document, "occurrences.0.ends_at", "in 31 days")
    document = edited(document, "occurrences.0.sale_ends_at", "in 29 days")
    await loader(document)
    async with factory.begin() as session:  # as if it had been loaded some days ago
        occurrence = (await session.scalars(select(Occurrence))).one()
        first = datetime(2030, 3, 20, 9, 30, tzinfo=UTC)
        occurrence.created_at = first
    await loader(document)
    async with factory() as session:
        occurrence = (await session.scalars(select(Occurrence))).one()
        assert occurrence.sale_starts_at == first
        assert occurrence.starts_at == datetime(2030, 4, 19, 18, 0, tzinfo=UTC)  # summer time
        assert occurrence.sale_ends_at - first == timedelta(days=29) - timedelta(hours=1)
    assert (await loader(document)).unchanged


_EDITS: list[tuple[str, Any]] = [
    ("event.name", "Macbeth"),
    ("venue.address", {"city": "Erfurt"}),
    ("fees", {"platform_percent": "2"}),
    ("policies", {"hold": "5 minutes"}),
    ("waiting_room", {}),
    ("waiting_room", {"on": False, "cap": 7}),
    ("waiting_room", {"opens_at": "2031-02-01T10:00:00Z", "rate": "5 per second"}),
    ("occurrences.0.ends_at", "2031-05-01T23:00:00+02:00"),
    ("ticket_types.0.tiers.1.price", "26.00"),
    ("ticket_types.3.quantity", 12),
    ("ticket_types.1.quotas", []),
    ("quotas.0.capacity", 6),
    ("allocations.0.seats", ["Left-1-3"]),
    ("allocations.0", {"code": "press", "purpose": "press", "quota": "reduced", "quantity": 1}),
    ("allocations.0.release_at", "2031-04-01T00:00:00Z"),
]


async def test_an_edit_updates_and_then_rests(loader: Loader) -> None:
    await loader(event())
    for path, value in _EDITS:
        changed = edited(event(), path, value)
        first = await loader(changed)
        assert (path, first.unchanged, first.seats_added) == (path, False, 0)
        assert (path, (await loader(changed)).unchanged) == (path, True)
        assert (path, (await loader(event())).unchanged) == (path, False)
        assert (path, (await loader(event())).unchanged) == (path, True)


async def test_what_a_draft_does_not_list_any_more_is_removed(
    factory: Factory, loader: Loader
) -> None:
    await loader(event())
    document = edited(event(), "ticket_types", event()["ticket_types"][:1])
    document = edited(edited(document, "quotas", []), "allocations", [])
    document = edited(document, "ticket_types.0.tiers.0", ...)
    loaded = await loader(document)
    assert loaded.removed > 0
    assert [await _count(factory, m) for m in (TicketType, PriceTier, Quota, Allocation)] == [
        *(1, 1, 0, 0)
    ]


async def test_a_changed_plan_becomes_the_next_version(factory: Factory, loader: Loader) -> None:
    await loader(event())
    wider = edited(plan(), "zones.1.position.x", 220)
    loaded = await loader(event(), wider)
    assert loaded.seats_added == 16
    assert any("version 2" in notice for notice in loaded.notices)
    async with factory() as session:
        occurrence = (await session.scalars(select(Occurrence))).one()
        seat_map = await session.get_one(SeatMap, occurrence.seat_map_id)
        assert seat_map.version == 2
        seats = await session.scalars(select(Seat.guid).join(AllocationSeat))
        assert sorted(seats) == ["Left-1-1", "Left-1-2"]


async def test_seat_kinds_are_kept_by_category_and_by_guid(
    factory: Factory, loader: Loader
) -> None:
    kinds = [
        {"kind": "wheelchair", "categories": ["Balcony"]},
        {"kind": "restricted_view", "seats": ["Left-1-1"]},
    ]
    await loader(edited(event(), "venue.seat_kinds", kinds))
    async with factory() as session:
        query = select(Seat.kind, func.count()).group_by(Seat.kind).order_by(Seat.kind)
        assert [tuple(row) for row in await session.execute(query)] == [
            ("restricted_view", 1),
            ("standard", 11),
            ("wheelchair", 4),
        ]


async def test_an_occurrence_that_the_file_does_not_list_is_left(loader: Loader) -> None:
    two = event()
    two["occurrences"].append(two["occurrences"][0] | {"key": "second"})
    await loader(two)
    loaded = await loader(event())
    assert loaded.removed == 0
    assert 'occurrence "second" is not in the file' in loaded.notices[0]


async def test_a_slug_of_another_organization_is_refused(factory: Factory, loader: Loader) -> None:
    await loader(event())
    with pytest.raises(ConflictError, match="another organization"):
        await loader(edited(event(), "organization.slug", "others"))
    assert await _count(factory, Event) == 1
    assert await _count(factory, Venue) == 1  # nothing of the refused file stayed


async def test_the_real_hall_comes_back_from_postgresql_equal(factory: Factory) -> None:
    async with factory.begin() as session:
        await load(session, await asyncio.to_thread(read_event, DEMO))
    async with factory() as session:
        venue = (await session.scalars(select(Venue))).one()
        seat_map = await newest_seat_map(session, venue.id)
        assert seat_map is not None
        assert await read_seat_map(session, seat_map) == read_plan(HALL.read_bytes())


_IMPOSSIBLE = (
    "UPDATE price_tiers SET price = -1",
    "UPDATE price_tiers SET capacity = 0",
    "UPDATE quotas SET capacity = -1",
    "UPDATE ticket_types SET kind = 'general'",
    "UPDATE ticket_types SET min_per_order = 99",
    "UPDATE occurrences SET ends_at = starts_at",
    "UPDATE occurrences SET hold_ttl_ms = 0",
    "UPDATE occurrences SET status = 'open'",
    "UPDATE occurrences SET room_cap = 0",
    "UPDATE occurrences SET room_rate_ms = -1",
    "UPDATE occurrences SET room_opens_at = sale_ends_at",
    "UPDATE events SET currency = 'eur'",
    "UPDATE events SET slug = 'No Slug'",
    "UPDATE events SET tax_rate_bp = 10001",
    "UPDATE venues SET latitude = 91, longitude = 0",
    "UPDATE venues SET latitude = 9",
    "UPDATE seats SET kind = 'sofa'",
    "UPDATE seats SET guid = 'same'",
    "UPDATE allocations SET quantity = NULL WHERE quota_id IS NOT NULL",
    "DELETE FROM organizations",
)


async def test_postgresql_itself_refuses_what_cannot_be(factory: Factory, loader: Loader) -> None:
    await loader(event())
    for statement in _IMPOSSIBLE:
        async with factory() as session:
            with pytest.raises(IntegrityError):
                await session.execute(text(statement))
