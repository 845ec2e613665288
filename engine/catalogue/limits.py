"""Limits of what a sale can run on (lua/README.md), looked at before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import cast

from engine.catalogue.catalogue import CatalogueTicketType
from engine.catalogue.checks import Checks
from engine.catalogue.problems import shown
from engine.catalogue.reading import sound
from engine.catalogue.seating_plan import PlanZone, SeatingPlan
from engine.core.errors import InvalidRequestError
from engine.core.money import Fees
from engine.sale.inventory import layout
from engine.sale.inventory.snapshot import Category, Row, Seat, SeatKind, Section, Snapshot


def check_plan(plan: SeatingPlan | None, kinds: Mapping[str, str], checks: Checks) -> None:
    """Note what makes a plan too large to be laid out for the scripts."""
    if plan is None:
        return
    rows = sum(len(zone.rows) for zone in plan.zones)
    if plan.seat_count + rows < layout.POSITIONS_MAX:
        return  # no section, and no category, can have too many
    try:
        layout.lay_out(laid_out(plan, kinds))
    except InvalidRequestError as error:
        checks.add("venue.seating_plan", str(error))


def check_tiers(types: Iterable[CatalogueTicketType], checks: Checks) -> None:
    """Note limited tiers whose stock would have the same name, as "c" of "a/b", "b/c" of "a"."""
    seen: dict[str, str] = {}
    for kind in types:
        for tier in kind.tiers:
            if tier.capacity is None or not sound(kind.code, tier.code):
                continue
            name, what = (
                f"{kind.code}/{tier.code}",
                f"tier {shown(tier.code)} of {shown(kind.code)}",
            )
            if seen.setdefault(name, what) != what:
                checks.add(
                    "ticket_types", f"{what} and {seen[name]} are both {shown(name)}: rename one"
                )


def laid_out(plan: SeatingPlan, kinds: Mapping[str, str]) -> Snapshot:
    """Return a snapshot with the seats of a plan and nothing to buy."""
    index = {category.name: i for i, category in enumerate(plan.categories)}
    return Snapshot(
        occurrence="",
        organization="",
        event="",
        event_name="",
        venue_name="",
        starts_at=0,
        ends_at=0,
        timezone="UTC",
        sale_starts_at=0,
        sale_ends_at=0,
        currency="EUR",
        tax_rate_bp=0,
        fees=Fees(),
        categories=tuple(Category(name=category.name) for category in plan.categories),
        sections=tuple(_section(zone, index, kinds) for zone in plan.zones if zone.rows),
    )


def _section(zone: PlanZone, index: Mapping[str, int], kinds: Mapping[str, str]) -> Section:
    return Section(
        name=zone.name or "",
        rows=tuple(
            Row(
                name=row.number,
                seats=tuple(
                    Seat(
                        guid=seat.guid,
                        number=seat.number,
                        x=zone.x + (row.x or 0.0) + seat.x,
                        y=zone.y + (row.y or 0.0) + seat.y,
                        category=index[seat.category],
                        kind=cast("SeatKind", kinds.get(seat.guid, "standard")),
                    )
                    for seat in row.seats
                ),
            )
            for row in zone.rows
            if row.seats
        ),
    )
