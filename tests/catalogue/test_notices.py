"""What is allowed and may not be meant is said; times that cannot be are refused."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from redis.asyncio import Redis
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from engine.catalogue.files import read_event
from engine.catalogue.models.events import Occurrence
from engine.catalogue.models.venues import SeatMap
from engine.catalogue.problems import InvalidDocumentError
from engine.catalogue.publish import publish_occurrence
from engine.sale.inventory import layout
from tests.catalogue.conftest import Loader
from tests.catalogue.documents import edited, event, plan, written

Factory = async_sessionmaker[AsyncSession]
FIRST, STANDING = "occurrences.0", "ticket_types.3"


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (
            f"{FIRST}.sale_ends_at",
            "2031-05-01T21:00:00+02:00",
            "its sale ends after the event begins",
        ),
        (
            f"{FIRST}.sale_ends_at",
            "2031-05-03T21:00:00+02:00",
            "its sale ends after the event: Sat 03",
        ),
        (f"{FIRST}.starts_at", "2031-05-01T20:00:00+01:00", "occurrences[0].starts_at"),
        (
            f"{FIRST}.sale_starts_at",
            "2031-01-01T10:00:00+02:00",
            "Wed 01 Jan 2031 09:00 Europe/Berlin",
        ),
        (
            f"{STANDING}.sale_starts_at",
            "2031-04-01T10:00:00+01:00",
            "ticket_types[3].sale_starts_at",
        ),
        ("allocations.0.release_at", "2031-04-01T10:00:00-05:00", "allocations[0].release_at"),
        (
            f"{STANDING}.sale_ends_at",
            "2030-12-01T10:00:00+01:00",
            '"standing" is sold only outside',
        ),
        (
            f"{STANDING}.sale_starts_at",
            "2031-05-01T19:00:00+02:00",
            '"standing" is sold only outside',
        ),
        (
            "ticket_types.0.tiers.0.ends_at",
            "2030-12-01T10:00:00+01:00",
            'tier "early" is sold only',
        ),
        ("allocations.0.release_at", "2031-05-02T10:00:00+02:00", "released only after the sale"),
    ],
)
async def test_what_may_not_be_meant_is_said_and_loaded(
    loader: Loader, path: str, value: str, said: str
) -> None:
    (notice,) = (await loader(edited(event(), path, value))).notices
    assert said in notice


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (f"{FIRST}.starts_at", "2031-05-01T18:00:00Z"),
        (f"{FIRST}.starts_at", "2031-05-01T18:00:00+00:00"),
        (f"{FIRST}.starts_at", "2031-05-01T19:30:00+02:00"),
        (f"{FIRST}.sale_starts_at", "2031-04-01T10:00:00+02:00"),
        (f"{FIRST}.sale_starts_at", "2030-12-01T10:00:00+01:00"),
        (f"{STANDING}.sale_starts_at", "2031-04-01T10:00:00+02:00"),
    ],
)
async def test_what_is_meant_is_not_remarked_on(loader: Loader, path: str, value: str) -> None:
    assert (await loader(edited(event(), path, value))).notices == ()


async def test_an_offset_of_a_date_elsewhere_is_that_of_its_own_zone(loader: Loader) -> None:
    document = edited(event(), f"{FIRST}.timezone", "America/New_York")
    notices = (await loader(document)).notices
    assert [notice.split(":")[0] for notice in notices] == [
        *("occurrences[0].starts_at", "occurrences[0].ends_at"),
        *("occurrences[0].sale_starts_at", "occurrences[0].sale_ends_at"),
    ]


PAST = {
    "starts_at": "2021-05-01T20:00:00+02:00",
    "ends_at": "2021-05-01T22:00:00+02:00",
    "sale_starts_at": "2021-01-01T10:00:00+01:00",
    "sale_ends_at": "2021-05-01T19:00:00+02:00",
}


async def _publish(factory: Factory, client: Redis, loader: Loader, **times: str) -> Any:
    document = event()
    document["occurrences"][0] |= times
    occurrence = (await loader(document)).occurrences[0].id
    return await publish_occurrence(factory, client, UUID(occurrence))


async def test_what_is_over_is_said_when_it_is_published(
    factory: Factory, redis_client: Redis, loader: Loader
) -> None:
    done = await _publish(factory, redis_client, loader, **PAST)
    assert [notice.split(":")[0] for notice in done.notices] == [
        "the event is over",
        "the sale is over",
    ]


async def test_publication_shows_times_as_people_read_them(
    factory: Factory, redis_client: Redis, loader: Loader
) -> None:
    done = await _publish(factory, redis_client, loader)
    assert dict(done.times) == {
        "begins": "Thu 01 May 2031 20:00 Europe/Berlin (UTC+02:00)",
        "ends": "Thu 01 May 2031 22:00 Europe/Berlin (UTC+02:00)",
        "sale begins": "Wed 01 Jan 2031 10:00 Europe/Berlin (UTC+01:00)",
        "sale ends": "Thu 01 May 2031 19:00 Europe/Berlin (UTC+02:00)",
    }
    assert done.notices == ()
    later = await _publish(factory, redis_client, loader, ends_at="2031-05-01T23:00:00+02:00")
    (change,) = later.changes
    assert change.startswith("ends at: Thu 01 May 2031 22:00 Europe/Berlin (UTC+02:00) -> Thu 01")


@pytest.mark.parametrize(
    ("edits", "named"),
    [
        (
            {f"{FIRST}.ends_at": "in 1 days", f"{FIRST}.sale_ends_at": "now"},
            "occurrences[0].ends_at",
        ),
        ({f"{FIRST}.sale_starts_at": "in 9000 days"}, "occurrences[0].sale_ends_at"),
        (
            {
                f"{STANDING}.sale_starts_at": "in 9000 days",
                f"{STANDING}.sale_ends_at": "2031-02-01T00:00:00Z",
            },
            "ticket_types[3].sale_ends_at",
        ),
        (
            {
                "ticket_types.0.tiers.0.starts_at": "in 9000 days at 10:00",
                "ticket_types.0.tiers.0.ends_at": "2031-02-01T00:00:00Z",
            },
            "ticket_types[0].tiers[0].ends_at",
        ),
    ],
)
async def test_absolute_times_against_relative_ones_are_refused_by_their_path(
    loader: Loader, edits: dict[str, str], named: str
) -> None:
    document = event()
    for path, value in edits.items():
        node: Any = document
        *parents, last = path.split(".")
        for part in parents:
            node = node[int(part)] if part.isdigit() else node[part]
        node[last] = value
    with pytest.raises(InvalidDocumentError) as refused:
        await loader(document)
    assert named in [problem.path for problem in refused.value.problems]


@pytest.mark.parametrize(
    ("start", "end", "holder", "named"),
    [
        ("sale_starts_at", "sale_ends_at", FIRST, "occurrences[0].sale_ends_at"),
        ("starts_at", "ends_at", FIRST, "occurrences[0].ends_at"),
        ("sale_starts_at", "sale_ends_at", STANDING, "ticket_types[3].sale_ends_at"),
        ("starts_at", "ends_at", "ticket_types.0.tiers.0", "ticket_types[0].tiers[0].ends_at"),
    ],
)
async def test_relative_times_count_from_the_first_loading_when_they_are_compared(
    factory: Factory, loader: Loader, start: str, end: str, holder: str, named: str
) -> None:
    await loader(event())
    async with factory.begin() as session:
        await session.execute(
            update(Occurrence).values(created_at=datetime(2020, 1, 1, tzinfo=UTC))
        )
    document = edited(event(), f"{holder}.{start}", "2025-01-01T00:00:00Z")
    document = edited(document, f"{holder}.{end}", "in 1 days")  # after 2025 only from today on
    with pytest.raises(InvalidDocumentError) as refused:
        await loader(document)
    assert named in [problem.path for problem in refused.value.problems]


async def test_two_events_with_plans_of_their_own_share_a_venue(
    factory: Factory, loader: Loader
) -> None:
    other, wide = edited(event(), "event.slug", "macbeth"), edited(plan(), "size.width", 500)
    await loader(event())
    await loader(other, wide)
    for _ in range(2):
        assert (await loader(event())).unchanged
        assert (await loader(other, wide)).unchanged
    async with factory() as session:
        assert await session.scalar(select(func.count()).select_from(SeatMap)) == 2


async def _refused(directory: Path, document: Any, seating: Any = None) -> dict[str, str]:
    file = await asyncio.to_thread(written, directory, document, seating)
    with pytest.raises(InvalidDocumentError) as caught:
        await asyncio.to_thread(read_event, file)
    return {problem.path: problem.message for problem in caught.value.problems}


async def test_more_categories_than_a_sale_can_have_are_refused_by_their_path(
    tmp_path: Path,
) -> None:
    many = [{"name": f"C{number}"} for number in range(layout.CATEGORIES_MAX + 1)]
    seating = edited(plan(), "categories", [*plan()["categories"], *many])
    found = await _refused(tmp_path, event(), seating)
    assert any("categories" in path and "more than 58" in said for path, said in found.items())


async def test_a_section_larger_than_a_sale_can_have_is_refused(tmp_path: Path) -> None:
    row = [
        {"seat_number": str(s), "position": {"x": s, "y": 0}, "category": "Stalls"}
        for s in range(1_000)
    ]
    rows = [
        {
            "row_number": str(r),
            "position": {"x": 0, "y": r},
            "seats": [{**seat, "seat_guid": f"{r}-{s}"} for s, seat in enumerate(row)],
        }
        for r in range(66)
    ]
    zone = {"name": "Field", "position": {"x": 0, "y": 500}, "rows": rows}
    seating = edited(plan(), "zones", [*plan()["zones"], zone])
    found = await _refused(tmp_path, event(), seating)
    assert found == {"venue.seating_plan": "section Field is too large: split it"}


async def test_tiers_whose_stock_would_be_one_are_refused(tmp_path: Path) -> None:
    document = event()
    document["ticket_types"] += [
        {
            "code": "a",
            "name": "A",
            "quantity": 5,
            "tiers": [{"code": "b/c", "price": "1.00", "quantity": 2}],
        },
        {
            "code": "a/b",
            "name": "B",
            "quantity": 5,
            "tiers": [{"code": "c", "price": "1.00", "quantity": 2}],
        },
    ]
    assert "are both 'a/b/c'" in (await _refused(tmp_path, document))["ticket_types"]
