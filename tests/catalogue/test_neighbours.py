"""Seats that are given together are beside each other on the floor, in every plan there is."""

from __future__ import annotations

import asyncio
import math
import random
from datetime import UTC, datetime
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest
from msgspec.structs import replace
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from engine.catalogue.bowl import bowl
from engine.catalogue.files import read_event
from engine.catalogue.load import load
from engine.catalogue.seating_plan import plan_document
from engine.catalogue.snapshot import build_snapshot
from engine.core.ids import new_id
from engine.platform.valkey import keys
from engine.platform.valkey.codes import Code
from engine.platform.valkey.connections import run_script
from engine.platform.valkey.packing import pack
from engine.sale.documents import Hold
from engine.sale.inventory import layout, publication
from engine.sale.inventory.snapshot import (
    Category,
    Room,
    Row,
    Seat,
    Section,
    Snapshot,
    TicketType,
    Tier,
)
from tests.catalogue.conftest import Loader
from tests.catalogue.documents import DEMO, ROOT, event
from tests.houses import small_house

Factory = async_sessionmaker[AsyncSession]
SHARD = 3
PLANS = sorted((ROOT / "data/venues").glob("*.json"))
FOUR = 4


def on_sale(snapshot: Snapshot) -> Snapshot:
    """The same seats on sale to everybody, one type a category, as many as there are."""
    return small_house(
        categories=snapshot.categories,
        quotas=(),
        ticket_types=tuple(
            TicketType(
                code=f"type-{index}",
                name=category.name,
                kind="seat",
                category=index,
                tiers=(Tier(code="only", name="Only", price=100),),
            )
            for index, category in enumerate(snapshot.categories)
        ),
        sections=snapshot.sections,
        focus_x=snapshot.focus_x,
        focus_y=snapshot.focus_y,
        room=Room(on=False),
    )


async def loaded(factory: Factory, path: Path) -> Snapshot:
    catalogue = await asyncio.to_thread(read_event, path)
    async with factory.begin() as session:
        done = await load(session, catalogue)
    return await snapshot_of(factory, done.occurrences[0].id)


async def snapshot_of(factory: Factory, occurrence: str) -> Snapshot:
    async with factory.begin() as session:
        return await build_snapshot(session, UUID(occurrence), now=datetime.now(UTC), previous=None)


async def best(client: Redis, snapshot: Snapshot, size: int) -> list[list[Seat]]:
    """Hold the best ``size`` seats of each category again and again, until there are none."""
    await publication.publish(client, snapshot, shard=SHARD)
    place = keys.prefix(SHARD, snapshot.occurrence)
    seats = [
        {at: seat for at, _, seat in layout.positions(section)} for section in snapshot.sections
    ]
    found = []
    for index in range(len(snapshot.ticket_types)):
        going = True
        while going:
            requests = [
                [new_id(), new_id(), random.randbytes(16), bytes(16), [[index, size, False, False]]]  # noqa: S311 - test keys
                for _ in range(64)
            ]
            for answer in await run_script(client, "hold_acquire", place, pack(requests)):
                going = going and answer[0] == Code.OK
                if answer[0] == Code.OK:
                    (line,) = msgspec.msgpack.decode(answer[1], type=Hold).lines
                    pairs = zip(line.seats[::2], line.seats[1::2], strict=True)
                    found.append([seats[section][at] for section, at in pairs])
    return found


def distance(one: Seat, other: Seat) -> float:
    return math.dist((one.x, one.y), (other.x, other.y))


def assert_beside(snapshot: Snapshot, groups: list[list[Seat]]) -> None:
    """No step within a group is clearly wider than the closest two such seats of its row.

    Such seats: of its category, as wheelchair places need more room than chairs.
    """
    closest = {
        (section.name, row.name, category): min(
            (
                distance(a, b)
                for a, b in combinations(row.seats, 2)
                if a.category == b.category == category
            ),
            default=0.0,
        )
        for section in snapshot.sections
        for row in section.rows
        for category in {seat.category for seat in row.seats}
    }
    row_of = {
        seat.guid: (section.name, row.name)
        for section in snapshot.sections
        for row in section.rows
        for seat in row.seats
    }
    apart = [
        [seat.guid for seat in group]
        for group in groups
        for a, b in pairwise(group)
        if distance(a, b) > closest[(*row_of[a.guid], a.category)] * 1.5
    ]
    assert not apart


async def test_no_best_four_of_the_demonstration_goes_across_an_aisle(
    factory: Factory, redis_client: Redis
) -> None:
    snapshot = on_sale(await loaded(factory, DEMO))
    groups = await best(redis_client, snapshot, FOUR)
    assert len(groups) > 200
    assert_beside(snapshot, groups)


@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: str(plan.stem))
async def test_no_group_of_a_shipped_plan_goes_across_an_aisle(
    loader: Loader, factory: Factory, redis_client: Redis, plan: Path, size: int
) -> None:
    document = await asyncio.to_thread(lambda: msgspec.json.decode(plan.read_bytes()))
    occurrence = (await loader(venue_of(document), document)).occurrences[0].id
    snapshot = on_sale(await snapshot_of(factory, occurrence))
    groups = await best(redis_client, snapshot, size)
    assert groups
    assert_beside(snapshot, groups)


async def test_no_group_of_a_stadium_goes_across_an_aisle(
    loader: Loader, factory: Factory, redis_client: Redis
) -> None:
    document = plan_document(bowl(2_000))
    occurrence = (await loader(venue_of(document), document)).occurrences[0].id
    snapshot = on_sale(await snapshot_of(factory, occurrence))
    groups = await best(redis_client, snapshot, FOUR)
    assert len(groups) > 400
    assert_beside(snapshot, groups)


def venue_of(document: dict[str, Any]) -> dict[str, Any]:
    """An event at a venue with this plan, a type a category."""
    return event() | {
        "allocations": [],
        "ticket_types": [
            {"code": f"type-{i}", "name": c["name"], "category": c["name"], "price": "1.00"}
            for i, c in enumerate(document["categories"])
        ],
    }


LISTS = {
    "in order": [1, 2, 3, 4, 5, 6, 7, 8],
    "odd and even halves": [1, 3, 5, 7, 2, 4, 6, 8],
    "from the middle": [4, 5, 3, 6, 2, 7, 1, 8],
    "backwards": [8, 7, 6, 5, 4, 3, 2, 1],
    "as they were drawn": [3, 8, 1, 6, 4, 2, 7, 5],
}


def hall(listed: list[int], floor: dict[int, tuple[float, float]]) -> dict[str, Any]:
    """A hall of one row; ``floor``: number of a seat -> its place."""
    seats = [
        {
            "seat_guid": str(number),
            "seat_number": str(number),
            "position": {"x": floor[number][0], "y": floor[number][1]},
            "category": "All",
        }
        for number in listed
    ]
    rows = [{"row_number": "1", "position": {"x": 0, "y": 0}, "seats": seats}]
    return {
        "name": "A row",
        "categories": [{"name": "All"}],
        "size": {"width": 400, "height": 100},
        "zones": [{"name": "A", "position": {"x": 0, "y": 0}, "rows": rows}],
    }


FLOORS = {
    "straight": {n: (n * 25.0, 0.0) for n in range(1, 9)},
    "with an aisle": {n: (n * 25.0 + (n > 4) * 50, 0.0) for n in range(1, 9)},
    "curved": {
        n: (round(100 - 100 * math.cos(n / 3), 2), round(100 * math.sin(n / 3), 2))
        for n in range(1, 9)
    },
    # numbered from the middle out, the odd ones to the left: 7 5 3 1 2 4 6 8
    "odd left, even right": {
        n: ((4 - n // 2) * 25.0 if n % 2 else (3 + n // 2 + 1) * 25.0, 0.0) for n in range(1, 9)
    },
}


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("floor", FLOORS)
@pytest.mark.parametrize("listed", LISTS)
async def test_however_a_row_is_listed_its_fours_sit_side_by_side(
    loader: Loader, factory: Factory, redis_client: Redis, listed: str, floor: str, size: int
) -> None:
    document = hall(LISTS[listed], FLOORS[floor])
    occurrence = (await loader(venue_of(document), document)).occurrences[0].id
    snapshot = on_sale(await snapshot_of(factory, occurrence))
    groups = await best(redis_client, snapshot, size)
    assert_beside(snapshot, groups)
    # by parting the row in the middle best available may leave some of it
    assert sum(map(len, groups)) >= (8 if floor == "with an aisle" else 4)


async def test_rows_without_coordinates_are_as_they_are_listed(
    loader: Loader, factory: Factory, redis_client: Redis
) -> None:
    document = hall(LISTS["odd and even halves"], dict.fromkeys(range(1, 9), (0.0, 0.0)))
    occurrence = (await loader(venue_of(document), document)).occurrences[0].id
    snapshot = on_sale(await snapshot_of(factory, occurrence))
    (row,) = snapshot.sections[0].rows
    assert [seat.guid for seat in row.seats] == list("13572468")
    assert sum(map(len, await best(redis_client, snapshot, FOUR))) >= FOUR


async def test_a_category_or_a_wheelchair_place_in_between_parts_a_row_as_an_aisle_does(
    redis_client: Redis,
) -> None:
    kinds: list[Any] = ["standard"] * 3 + ["wheelchair"] + ["standard"] * 8
    seats = tuple(
        Seat(
            guid=f"s{i}",
            number=str(i),
            x=i * 25.0 + 50 * (i >= 9),
            y=0.0,
            category=0,
            kind=kind,
        )
        for i, kind in enumerate(kinds)
    )
    snapshot = on_sale(
        replace(
            small_house(),
            categories=(Category(name="All"),),
            sections=(Section(name="A", rows=(Row(name="1", seats=seats),)),),
        )
    )
    groups = await best(redis_client, snapshot, 3)
    named = sorted(sorted(int(seat.guid[1:]) for seat in group) for group in groups)
    assert (named[0], named[2]) == ([0, 1, 2], [9, 10, 11])
    assert set(named[1]) < {4, 5, 6, 7, 8}
    assert_beside(snapshot, groups)
    assert layout.only_on_map(snapshot) == {0: [(0, 3)]}
