"""Small houses to sell, for tests of every room."""

from __future__ import annotations

from typing import Any

from engine.core.ids import new_id
from engine.core.money import Fees
from engine.sale.inventory.snapshot import (
    Category,
    Quota,
    Row,
    Seat,
    SeatKind,
    Section,
    Snapshot,
    TicketType,
    Tier,
)

STALLS, BALCONY, ACCESSIBLE = 0, 1, 2


def seat(section: str, row: int, number: int, category: int, kind: SeatKind = "standard") -> Seat:
    return Seat(
        guid=f"{section}-{row}-{number}",
        number=str(number),
        x=float(number),
        y=float(row),
        category=category,
        kind=kind,
    )


def section(name: str, rows: int, seats: int, category: int, *, depth: int = 0) -> Section:
    return Section(
        name=name,
        rows=tuple(
            Row(
                name=str(row),
                seats=tuple(seat(name, depth + row, n, category) for n in range(1, seats + 1)),
            )
            for row in range(1, rows + 1)
        ),
    )


def small_house(occurrence: str | None = None, **changes: Any) -> Snapshot:
    """Two blocks of 3 x 6 seats, two wheelchair places, and 10 standing places.

    ``stalls`` (seats of A, the first 3 at an early price), ``balcony`` (seats of B, with a quota
    of 12 for the 18 seats), ``accessible`` (W), ``standing`` and ``standing-reduced`` (one quota).
    """
    wheelchairs = Section(
        name="W",
        rows=(
            Row(
                name="1",
                seats=(
                    seat("W", 1, 1, ACCESSIBLE, "wheelchair"),
                    seat("W", 1, 2, ACCESSIBLE, "companion"),
                ),
            ),
        ),
    )
    values: dict[str, Any] = {
        "occurrence": occurrence or new_id(),
        "organization": new_id(),
        "event": new_id(),
        "event_name": "An evening",
        "event_slug": "an-evening",
        "venue_name": "A small house",
        "starts_at": 4_000_000_000_000,
        "ends_at": 4_000_010_000_000,
        "timezone": "Europe/Berlin",
        "sale_starts_at": 0,
        "sale_ends_at": 3_999_000_000_000,
        "currency": "EUR",
        "tax_rate_bp": 700,
        "fees": Fees(platform_per_ticket=50, payment_fixed=25, payment_percent_bp=140),
        "max_per_order": 8,
        "categories": (
            Category(name="Stalls"),
            Category(name="Balcony"),
            Category(name="Accessible"),
        ),
        "quotas": (
            Quota(code="standing", name="Standing", capacity=10),
            Quota(code="licence", name="Balcony licence", capacity=12),
        ),
        "ticket_types": (
            TicketType(
                code="stalls",
                name="Stalls",
                kind="seat",
                category=STALLS,
                tiers=(
                    Tier(code="early", name="Early bird", price=3000, capacity=3),
                    Tier(code="full", name="Full price", price=4500),
                ),
            ),
            TicketType(
                code="balcony",
                name="Balcony",
                kind="seat",
                category=BALCONY,
                quotas=(1,),
                max_per_buyer=4,
                tiers=(Tier(code="full", name="Full price", price=2000),),
            ),
            TicketType(
                code="accessible",
                name="Accessible",
                kind="seat",
                category=ACCESSIBLE,
                tiers=(Tier(code="full", name="Full price", price=2000),),
            ),
            TicketType(
                code="standing",
                name="Standing",
                kind="general",
                quotas=(0,),
                min_per_order=1,
                max_per_order=6,
                tiers=(Tier(code="full", name="Full price", price=1500),),
            ),
            TicketType(
                code="standing-reduced",
                name="Standing, reduced",
                kind="general",
                quotas=(0,),
                min_per_order=2,
                max_per_order=4,
                tiers=(Tier(code="full", name="Full price", price=0),),
            ),
        ),
        "sections": (
            section("A", 3, 6, STALLS),
            section("B", 3, 6, BALCONY, depth=10),
            wheelchairs,
        ),
    }
    values.update(changes)
    return Snapshot(**values)
