from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from engine.catalogue.models.events import Occurrence
from engine.catalogue.models.ticketing import Allocation
from engine.catalogue.publish import capacity, check_sellable
from engine.catalogue.snapshot import build_snapshot
from engine.core.errors import ConflictError, NotFoundError
from engine.core.ids import new_id
from engine.sale.inventory.layout import lay_out
from engine.sale.inventory.snapshot import Room, Snapshot
from tests.catalogue.conftest import Loader
from tests.catalogue.documents import edited, event, plan

Factory = async_sessionmaker[AsyncSession]
_NOW = datetime(2031, 1, 1, tzinfo=UTC)


async def _built(
    factory: Factory,
    occurrence: str,
    *,
    now: datetime = _NOW,
    previous: Snapshot | None = None,
) -> Snapshot:
    async with factory() as session:
        return await build_snapshot(session, UUID(occurrence), now=now, previous=previous)


async def _snapshot(factory: Factory, loader: Loader, document: object = None) -> Snapshot:
    loaded = await loader(document or event())
    return await _built(factory, loaded.occurrences[0].id)


async def test_a_snapshot_says_what_the_file_said(factory: Factory, loader: Loader) -> None:
    found = await _snapshot(factory, loader)
    assert (found.event_name, found.venue_name, found.currency) == ("Hamlet", "Small hall", "EUR")
    assert found.starts_at == 1_935_424_800_000
    assert [category.name for category in found.categories] == ["Stalls", "Balcony"]
    assert [category.color for category in found.categories] == ["#111111", "#888888"]
    stalls, reduced, balcony, standing = found.ticket_types
    assert [(tier.code, tier.price, tier.capacity) for tier in stalls.tiers] == [
        ("early", 2000, 3),
        ("regular", 2500, None),
    ]
    assert (stalls.kind, stalls.category, stalls.quotas) == ("seat", 0, ())
    assert [found.quotas[index].code for index in reduced.quotas] == ["reduced"]
    assert (balcony.category, standing.kind, standing.category) == (1, "general", None)
    assert [found.quotas[index].code for index in standing.quotas] == ["standing"]


async def test_a_snapshot_has_the_waiting_room_of_the_file(
    factory: Factory, loader: Loader
) -> None:
    assert (await _snapshot(factory, loader)).room == Room(on=False)
    room = {
        "opens_at": "2031-02-01T10:00:00Z",
        "pre_queue": "1 hour",
        "rate": "7 per 2 seconds",
        "cap": 30,
        "claim": "1 minute",
        "shop": "5 minutes",
    }
    found = await _snapshot(factory, loader, event() | {"waiting_room": room})
    assert found.room == Room(
        opens_at=1_927_706_400_000,
        pre_queue_ms=3_600_000,
        rate=7,
        rate_ms=2_000,
        cap=30,
        claim_ms=60_000,
        shop_ms=300_000,
    )
    relative = event() | {"waiting_room": {"opens_at": "in 2 days at 10:00"}}
    relative["occurrences"][0]["sale_starts_at"] = "now"
    later = (await _snapshot(factory, loader, relative)).room.opens_at
    assert later is not None
    async with factory() as session:
        first = (await session.scalars(select(Occurrence.created_at))).one()
    local = first.astimezone(ZoneInfo("Europe/Berlin")) + timedelta(days=2)
    expected = local.replace(hour=10, minute=0, second=0, microsecond=0)
    assert later == expected.timestamp() * 1000


async def test_places_are_absolute_and_in_the_order_of_the_plan(
    factory: Factory, loader: Loader
) -> None:
    found = await _snapshot(factory, loader)
    seats = [seat for section in found.sections for row in section.rows for seat in row.seats]
    assert [seat.guid for seat in seats] == [
        seat["seat_guid"]
        for zone in plan()["zones"]
        for row in zone["rows"]
        for seat in row["seats"]
    ]
    last = seats[-1]
    assert (last.guid, last.x, last.y) == ("Right-2-4", 200 + 0 + 75, 10 + 40 + 0)


async def test_the_same_database_gives_the_same_snapshot(factory: Factory, loader: Loader) -> None:
    loaded = await loader(event())
    first = await _built(factory, loaded.occurrences[0].id)
    assert await _built(factory, loaded.occurrences[0].id) == first


async def test_seats_and_quantities_set_aside_are_blocked_and_all_adds_up(
    factory: Factory, loader: Loader
) -> None:
    found = await _snapshot(factory, loader)
    seats = [seat for section in found.sections for row in section.rows for seat in row.seats]
    assert {seat.guid for seat in seats if seat.blocked} == {"Left-1-1", "Left-1-2"}
    assert {quota.code: quota.blocked for quota in found.quotas} == {"reduced": 0, "standing": 4}
    assert capacity(found) == (16, 10)
    per_category = Counter(found.categories[seat.category].name for seat in seats)
    counters = {counter.name: counter for counter in lay_out(found).counters}
    for name, count in per_category.items():
        assert counters[f"category:{name}"].capacity == count
    assert sum(per_category.values()) == 16
    assert counters["category:Stalls"].blocked == 2


async def test_what_is_released_by_hand_or_by_date_goes_on_sale(
    factory: Factory, loader: Loader
) -> None:
    document = edited(event(), "allocations.0.release_at", "2031-02-01T00:00:00Z")
    loaded = await loader(document)
    occurrence = loaded.occurrences[0].id
    async with factory.begin() as session:
        crew = (await session.scalars(select(Allocation).where(Allocation.code == "crew"))).one()
        crew.status = "released"

    def blocked(snapshot: Snapshot) -> int:
        rows = [row for section in snapshot.sections for row in section.rows]
        return sum(seat.blocked for row in rows for seat in row.seats)

    before = await _built(factory, occurrence, now=datetime(2031, 1, 31, 23, 59, 59, tzinfo=UTC))
    after = await _built(factory, occurrence, now=datetime(2031, 2, 1, tzinfo=UTC))
    assert (blocked(before), blocked(after)) == (2, 0)
    assert [quota.blocked for quota in before.quotas] == [0, 0]
    assert (await loader(document)).unchanged  # the file does not undo the operator's release


async def test_what_was_published_keeps_its_place_and_new_things_come_behind(
    factory: Factory, loader: Loader
) -> None:
    published = await _snapshot(factory, loader)
    document = event()
    document["quotas"].insert(0, {"code": "all", "capacity": 99})
    document["ticket_types"].reverse()
    document["ticket_types"].insert(
        0, {"code": "new", "name": "New", "price": "1.00", "quotas": ["all"]}
    )
    document["ticket_types"][-1]["tiers"].append({"code": "late", "price": "30.00"})
    loaded = await loader(document)
    occurrence = loaded.occurrences[0].id
    fresh = await _built(factory, occurrence)
    assert [kind.code for kind in fresh.ticket_types][:2] == ["new", "standing"]
    found = await _built(factory, occurrence, previous=published)
    assert [kind.code for kind in found.ticket_types] == [
        *(kind.code for kind in published.ticket_types),
        "new",
    ]
    assert [quota.code for quota in found.quotas] == ["reduced", "standing", "all"]
    assert found.ticket_types[-1].quotas == (2,)
    assert [tier.code for tier in found.ticket_types[0].tiers] == ["early", "regular", "late"]


async def test_a_tier_before_one_that_is_on_sale_is_refused(
    factory: Factory, loader: Loader
) -> None:
    published = await _snapshot(factory, loader)
    document = event()
    document["ticket_types"][0]["tiers"].insert(0, {"code": "flash", "price": "1.00"})
    loaded = await loader(document)
    with pytest.raises(ConflictError, match=r'"stalls".*early, regular.*add new ones after them'):
        await _built(factory, loaded.occurrences[0].id, previous=published)


async def test_an_event_without_seats_has_a_snapshot_too(factory: Factory, loader: Loader) -> None:
    document = edited(event(), "venue.seating_plan", ...)
    document["ticket_types"] = document["ticket_types"][3:]
    document["allocations"], document["quotas"] = [], []
    found = await _snapshot(factory, loader, document)
    assert (found.sections, found.categories, capacity(found)) == ((), (), (0, 10))


async def test_rows_and_zones_without_seats_are_left_out(factory: Factory, loader: Loader) -> None:
    seating = plan()
    seating["zones"].insert(0, {"name": "Bar", "position": {"x": 0, "y": 0}, "rows": []})
    seating["zones"][1]["rows"].insert(0, {"row_number": "0", "seats": []})
    loaded = await loader(event(), seating)
    found = await _built(factory, loaded.occurrences[0].id)
    assert [section.name for section in found.sections] == ["Left", "Right"]
    assert [row.name for row in found.sections[0].rows] == ["1", "2"]


async def test_an_unknown_occurrence_is_not_found(factory: Factory) -> None:
    with pytest.raises(NotFoundError):
        await _built(factory, new_id())


async def test_what_cannot_be_sold_is_named(factory: Factory, loader: Loader) -> None:
    loaded = await loader(event())
    async with factory.begin() as session:
        crew = (await session.scalars(select(Allocation).where(Allocation.code == "crew"))).one()
        crew.quantity = 11
    with pytest.raises(ConflictError, match='11 of quota "standing", which has 10'):
        check_sellable(await _built(factory, loaded.occurrences[0].id))
