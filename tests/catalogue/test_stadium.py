from __future__ import annotations

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from engine.catalogue.bowl import bowl
from engine.catalogue.load import load
from engine.catalogue.models.events import Occurrence
from engine.catalogue.models.venues import Seat
from engine.catalogue.problems import InvalidDocumentError
from engine.catalogue.stadium import stadium


@pytest.mark.parametrize("seats", [1, 2, 7, 99, 1_500, 4_001, 20_000, 55_000])
def test_a_bowl_has_exactly_the_seats_asked_for(seats: int) -> None:
    plan = bowl(seats)
    guids = {seat.guid for zone in plan.zones for row in zone.rows for seat in row.seats}
    assert plan.seat_count == len(guids) == seats
    assert all(row.seats for zone in plan.zones for row in zone.rows)


def test_no_two_seats_of_a_bowl_share_a_place_and_all_lie_within_the_plan() -> None:
    plan = bowl(20_000)
    places = {
        (zone.x + seat.x, zone.y + seat.y)
        for zone in plan.zones
        for row in zone.rows
        for seat in row.seats
    }
    assert len(places) == 20_000
    assert all(0 < x < (plan.width or 0) and 0 < y < (plan.height or 0) for x, y in places)


def test_a_large_bowl_has_several_categories_and_rows_of_varied_length() -> None:
    plan = bowl(55_000)
    lengths = {len(row.seats) for zone in plan.zones for row in zone.rows}
    assert len(plan.categories) == 7
    assert len(lengths) > 10
    assert max(lengths) < 60


async def test_a_stadium_is_loaded_once_with_all_its_occurrences(
    factory: async_sessionmaker[AsyncSession],
) -> None:
    catalogue = stadium(3_000, slug="bowl", occurrences=3, general=50)
    told: list[int] = []
    async with factory.begin() as session:
        loaded = await load(session, catalogue, told.append)
    assert (loaded.seats_added, sum(told), len(loaded.occurrences)) == (3_000, 3_000, 3)
    async with factory.begin() as session:
        assert (await load(session, catalogue)).unchanged
        assert await session.scalar(select(func.count()).select_from(Seat)) == 3_000
        assert await session.scalar(select(func.count()).select_from(Occurrence)) == 3
        kinds = await session.scalar(select(func.count()).where(Seat.kind == "wheelchair"))
        assert kinds == 4


@pytest.mark.parametrize(
    ("seats", "slug", "named"),
    [(0, "x", "--stadium"), (150_001, "x", "--stadium"), (10, "No slug", "venue.slug")],
)
def test_an_impossible_stadium_is_refused(seats: int, slug: str, named: str) -> None:
    with pytest.raises(InvalidDocumentError) as caught:
        stadium(seats, slug=slug, occurrences=1, general=0)
    assert caught.value.problems[0].path == named
