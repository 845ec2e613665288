"""Seat maps in PostgreSQL: a plan becomes a version of its venue's map, and back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from operator import attrgetter
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncSession

from engine.catalogue.document import FocusDocument
from engine.catalogue.models.venues import Seat, SeatCategory, SeatMap, SeatRow, Section
from engine.catalogue.seating_plan import (
    PlanCategory,
    PlanRow,
    PlanSeat,
    PlanZone,
    SeatingPlan,
    plan_document,
)
from engine.core.errors import NotFoundError
from engine.core.ids import new_id

_PROGRESS_STEP = 1_000
_SEAT_COLUMNS = (
    *("id", "seat_map_id", "row_id", "category_id", "position"),
    *("guid", "number", "x", "y", "kind", "members"),
)


def digest(plan: SeatingPlan, kinds: Mapping[str, str], focus: FocusDocument | None) -> bytes:
    """Return the SHA-256 of everything that a version of a seat map is made of."""
    point = None if focus is None else [float(focus.x), float(focus.y)]
    whole = [plan_document(plan), sorted(kinds.items()), point]
    return hashlib.sha256(msgspec.json.encode(whole, order="sorted")).digest()


async def newest_seat_map(session: AsyncSession, venue_id: UUID) -> SeatMap | None:
    """Return the newest version of a venue's map, None when it has none."""
    query = select(SeatMap).where(SeatMap.venue_id == venue_id)
    return await session.scalar(query.order_by(SeatMap.version.desc()).limit(1))


async def store_seat_map(
    session: AsyncSession,
    venue_id: UUID,
    plan: SeatingPlan,
    kinds: Mapping[str, str],
    focus: FocusDocument | None,
    advance: Callable[[int], None],
) -> tuple[SeatMap, bool]:
    """Return the venue's map that is this plan, and whether it was written as a new version.

    Events with different plans may share a venue: a version that was there before
    is used again.

    ``advance`` is told the number of seats written since its last call.
    """
    newest = await newest_seat_map(session, venue_id)
    wanted = digest(plan, kinds, focus)
    same = await session.scalar(
        select(SeatMap)
        .where(SeatMap.venue_id == venue_id, SeatMap.digest == wanted)
        .order_by(SeatMap.version)
        .limit(1)
    )
    if same is not None:
        return same, False
    seat_map = SeatMap(
        id=UUID(new_id()),
        venue_id=venue_id,
        version=1 if newest is None else newest.version + 1,
        name=plan.name,
        width=plan.width,
        height=plan.height,
        focus_x=None if focus is None else focus.x,
        focus_y=None if focus is None else focus.y,
        seat_count=plan.seat_count,
        digest=wanted,
        members=plan.members,
    )
    session.add(seat_map)
    await session.flush()
    await _write(session, seat_map.id, plan, kinds, advance)
    return seat_map, True


async def _write(
    session: AsyncSession,
    seat_map_id: UUID,
    plan: SeatingPlan,
    kinds: Mapping[str, str],
    advance: Callable[[int], None],
) -> None:
    categories = {category.name: UUID(new_id()) for category in plan.categories}
    session.add_all(
        SeatCategory(
            id=categories[category.name],
            seat_map_id=seat_map_id,
            position=position,
            name=category.name,
            color=category.color,
            members=category.members,
        )
        for position, category in enumerate(plan.categories)
    )
    sections = [
        Section(
            id=UUID(new_id()),
            seat_map_id=seat_map_id,
            position=position,
            name=zone.name,
            x=zone.x,
            y=zone.y,
            members=zone.members,
        )
        for position, zone in enumerate(plan.zones)
    ]
    session.add_all(sections)
    await session.flush()
    rows: list[tuple[SeatRow, PlanRow]] = []
    for section, zone in zip(sections, plan.zones, strict=True):
        for position, row in enumerate(zone.rows):
            stored = SeatRow(
                id=UUID(new_id()),
                section_id=section.id,
                position=position,
                number=row.number,
                x=row.x,
                y=row.y,
                members=row.members,
            )
            rows.append((stored, row))
    session.add_all(stored for stored, _ in rows)
    await session.flush()
    connection = await (await session.connection()).get_raw_connection()
    driver = connection.driver_connection
    if driver is None:
        raise RuntimeError("the session has no connection")
    # COPY: a stadium's 55,000 seats take half a second instead of half a minute
    await driver.copy_records_to_table(
        Seat.__tablename__,
        records=_seat_records(seat_map_id, rows, categories, kinds, advance),
        columns=_SEAT_COLUMNS,
    )


def _seat_records(
    seat_map_id: UUID,
    rows: list[tuple[SeatRow, PlanRow]],
    categories: Mapping[str, UUID],
    kinds: Mapping[str, str],
    advance: Callable[[int], None],
) -> Iterator[tuple[Any, ...]]:
    count = 0
    for stored, row in rows:
        for position, seat in enumerate(row.seats):
            yield (
                *(UUID(new_id()), seat_map_id, stored.id, categories[seat.category], position),
                *(seat.guid, seat.number, seat.x, seat.y, kinds.get(seat.guid, "standard")),
                json.dumps(seat.members),
            )
            count += 1
            if count % _PROGRESS_STEP == 0:
                advance(_PROGRESS_STEP)
    advance(count % _PROGRESS_STEP)


async def read_seat_map(session: AsyncSession, seat_map: SeatMap) -> SeatingPlan:
    """Return the plan that a seat map was made from."""
    categories = await session.scalars(
        select(SeatCategory)
        .where(SeatCategory.seat_map_id == seat_map.id)
        .order_by(SeatCategory.position)
    )
    of_map = Section.seat_map_id == seat_map.id
    sections = (
        await session.scalars(select(Section).where(of_map).order_by(Section.position))
    ).all()
    rows = await session.scalars(
        select(SeatRow).join(Section).where(of_map).order_by(Section.position, SeatRow.position)
    )
    rows_of = {key: list(group) for key, group in groupby(rows, attrgetter("section_id"))}
    seats_of = {
        key: tuple(map(_plan_seat, group))
        for key, group in groupby(await seat_places(session, seat_map.id), attrgetter("row_id"))
    }
    return SeatingPlan(
        name=seat_map.name,
        width=seat_map.width,
        height=seat_map.height,
        members=seat_map.members,
        categories=tuple(
            PlanCategory(name=item.name, color=item.color, members=item.members)
            for item in categories
        ),
        zones=tuple(
            PlanZone(
                name=section.name,
                x=section.x,
                y=section.y,
                members=section.members,
                rows=tuple(
                    PlanRow(
                        number=row.number,
                        x=row.x,
                        y=row.y,
                        members=row.members,
                        seats=seats_of.get(row.id, ()),
                    )
                    for row in rows_of.get(section.id, ())
                ),
            )
            for section in sections
        ),
    )


def _plan_seat(seat: Row[Any]) -> PlanSeat:
    return PlanSeat(
        guid=seat.guid,
        number=seat.number,
        x=seat.x,
        y=seat.y,
        category=seat.category,
        members=seat.members,
    )


async def seat_places(session: AsyncSession, seat_map_id: UUID) -> list[Row[Any]]:
    """Return all seats of a map in order, each with its row, section and category.

    Members: ``section_id``, ``section``, ``section_x``/``_y``, ``row_id``, ``row``,
    ``row_x``/``_y``, ``seat_id``, ``guid``, ``number``, ``x``, ``y``, ``kind``,
    ``category``, ``category_position``, ``members``.
    """
    query = (
        select(
            Section.id.label("section_id"),
            Section.position.label("section_position"),
            Section.name.label("section"),
            Section.x.label("section_x"),
            Section.y.label("section_y"),
            SeatRow.id.label("row_id"),
            SeatRow.number.label("row"),
            SeatRow.x.label("row_x"),
            SeatRow.y.label("row_y"),
            Seat.id.label("seat_id"),
            *(Seat.guid, Seat.number, Seat.x, Seat.y, Seat.kind, Seat.members),
            SeatCategory.name.label("category"),
            SeatCategory.position.label("category_position"),
        )
        .join(SeatRow, SeatRow.id == Seat.row_id)
        .join(Section, Section.id == SeatRow.section_id)
        .join(SeatCategory, SeatCategory.id == Seat.category_id)
        .where(Seat.seat_map_id == seat_map_id)
        .order_by(Section.position, SeatRow.position, Seat.position)
    )
    return list(await session.execute(query))


async def seat_ids(session: AsyncSession, seat_map_id: UUID) -> dict[str, UUID]:
    """Return guid -> id of all seats of a map."""
    query = select(Seat.guid, Seat.id).where(Seat.seat_map_id == seat_map_id)
    return {row.guid: row.id for row in await session.execute(query)}


async def seat_map_of(session: AsyncSession, seat_map_id: UUID) -> SeatMap:
    """Return a seat map. Raises :class:`NotFoundError`."""
    found = await session.get(SeatMap, seat_map_id)
    if found is None:
        raise NotFoundError(f"there is no seat map {seat_map_id}")
    return found
