"""Stadium occurrences without PostgreSQL: for benchmarks of the hot plane alone."""

from __future__ import annotations

import time
from collections.abc import Iterator

from engine.catalogue.bowl import bowl
from engine.catalogue.seating_plan import PlanRow, PlanZone
from engine.core.ids import new_id
from engine.core.money import Fees
from engine.sale.inventory import layout
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

HOUR_MS = 3_600_000
PRICE = 5_000  # of every ticket, in minor units


_NO_ROOM = Room(on=False)


def stadium_snapshot(seats: int, *, per_order: int = 10, room: Room = _NO_ROOM) -> Snapshot:
    """Return an occurrence in a bowl of ``seats`` seats, on sale now, holds lasting an hour.

    One ticket type a seating category, with the category's name in lower case as its code.
    """
    plan = bowl(seats)
    names = [category.name for category in plan.categories]
    index_of = {name: index for index, name in enumerate(names)}
    now = time.time_ns() // 1_000_000
    return Snapshot(
        occurrence=new_id(),
        organization=new_id(),
        event=new_id(),
        event_name="A concert for load",
        event_slug="load",
        venue_name=plan.name,
        starts_at=now + 48 * HOUR_MS,
        ends_at=now + 51 * HOUR_MS,
        timezone="Europe/Berlin",
        sale_starts_at=now - HOUR_MS,
        sale_ends_at=now + 24 * HOUR_MS,
        currency="EUR",
        tax_rate_bp=700,
        fees=Fees(platform_percent_bp=250, platform_per_ticket=50),
        # a measurement must not meet an expiry of its own making
        hold_ttl_ms=HOUR_MS,
        hold_ttl_ms_max=HOUR_MS,
        max_per_order=per_order,
        categories=tuple(Category(name=name) for name in names),
        ticket_types=tuple(
            TicketType(
                code=type_code(name),
                name=name,
                kind="seat",
                category=index,
                max_per_order=per_order,
                tiers=(Tier(code="standard", name="Standard", price=PRICE),),
            )
            for index, name in enumerate(names)
        ),
        sections=tuple(_section(zone, index_of) for zone in plan.zones),
        focus_x=(plan.width or 0.0) / 2,
        focus_y=(plan.height or 0.0) / 2,
        width=plan.width or 0.0,
        height=plan.height or 0.0,
        room=room,
    )


def type_code(category: str) -> str:
    """Return the code of the ticket type for a category's seats."""
    return category.lower().replace(" ", "-")


def _section(zone: PlanZone, index_of: dict[str, int]) -> Section:
    return Section(name=zone.name or "", rows=tuple(_row(zone, row, index_of) for row in zone.rows))


def _row(zone: PlanZone, row: PlanRow, index_of: dict[str, int]) -> Row:
    x, y = zone.x + (row.x or 0.0), zone.y + (row.y or 0.0)
    return Row(
        name=row.number,
        seats=tuple(
            Seat(
                guid=seat.guid,
                number=seat.number,
                x=x + seat.x,
                y=y + seat.y,
                category=index_of[seat.category],
            )
            for seat in row.seats
        ),
    )


def seats_together(snapshot: Snapshot, count: int) -> Iterator[list[Seat]]:
    """Yield disjoint groups of ``count`` neighbours of one category, section by section."""
    for section in snapshot.sections:
        for row in section.rows:
            group: list[Seat] = []
            for seat in row.seats:
                if group and seat.category != group[-1].category:
                    group = []
                group.append(seat)
                if len(group) == count:
                    yield group
                    group = []


def lines_by_category(snapshot: Snapshot, count: int) -> Iterator[tuple[int, list[int]]]:
    """Yield (ticket type, [section, position, ...]) of at most ``count`` seats, together all seats.

    As the scripts take them; the types of :func:`stadium_snapshot` have their categories' indexes.
    """
    for index, section in enumerate(snapshot.sections):
        by_category: dict[int, list[int]] = {}
        for position, _, seat in layout.positions(section):
            by_category.setdefault(seat.category, []).extend((index, position))
        for category, seats in by_category.items():
            for at in range(0, len(seats), 2 * count):
                yield category, seats[at : at + 2 * count]
