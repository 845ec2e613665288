"""Builds the frozen snapshot of an occurrence from PostgreSQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from sqlalchemy import Row, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from engine.catalogue.models.events import Event, Occurrence, SeatMapSnapshot
from engine.catalogue.models.ticketing import (
    Allocation,
    AllocationSeat,
    PriceTier,
    Quota,
    TicketType,
    TicketTypeQuota,
)
from engine.catalogue.models.venues import Seat as SeatRecord
from engine.catalogue.models.venues import SeatCategory, Venue
from engine.catalogue.seat_maps import seat_map_of, seat_places
from engine.core.errors import ConflictError, NotFoundError
from engine.core.money import Fees
from engine.sale.inventory import snapshot as sale
from engine.sale.inventory.rows import sitting_order
from engine.sale.inventory.snapshot import Snapshot

T = TypeVar("T")


async def latest_snapshot(
    session: AsyncSession, occurrence_id: UUID
) -> tuple[int, Snapshot | None]:
    """Return the version and the document of the last publication; (0, None) before the first."""
    found = await session.scalar(
        select(SeatMapSnapshot)
        .where(SeatMapSnapshot.occurrence_id == occurrence_id)
        .order_by(SeatMapSnapshot.version.desc())
        .limit(1)
    )
    if found is None:
        return 0, None
    return found.version, msgspec.convert(found.document, Snapshot)


async def build_snapshot(
    session: AsyncSession, occurrence_id: UUID, *, now: datetime, previous: Snapshot | None
) -> Snapshot:
    """Return the snapshot of an occurrence as PostgreSQL has it at ``now``.

    Quotas and ticket types that ``previous`` has keep their places, new ones
    come after them. Raises :class:`NotFoundError`, and :class:`ConflictError`
    when tiers that are on sale would change their order.
    """
    occurrence = await session.get(Occurrence, occurrence_id)
    if occurrence is None:
        raise NotFoundError(f"there is no occurrence {occurrence_id.hex}")
    event = await session.get_one(Event, occurrence.event_id)
    venue = await session.get_one(Venue, occurrence.venue_id)
    aside = await _set_aside(session, occurrence.id, now)
    quotas = await _quotas(session, occurrence.id, aside, previous)
    categories, sections, plan = await _seats(session, occurrence, now)
    types = await _ticket_types(session, occurrence.id, categories, quotas, previous)
    return Snapshot(
        occurrence=occurrence.id.hex,
        organization=event.organization_id.hex,
        event=event.id.hex,
        event_name=event.name,
        event_slug=event.slug,
        venue_name=venue.name,
        starts_at=_ms(occurrence.starts_at),
        ends_at=_ms(occurrence.ends_at),
        timezone=occurrence.timezone,
        sale_starts_at=_ms(occurrence.sale_starts_at),
        sale_ends_at=_ms(occurrence.sale_ends_at),
        currency=event.currency,
        tax_rate_bp=event.tax_rate_bp,
        fees=Fees(
            platform_percent_bp=event.platform_percent_bp,
            platform_per_ticket=event.platform_per_ticket,
            payment_percent_bp=event.payment_percent_bp,
            payment_fixed=event.payment_fixed,
        ),
        hold_ttl_ms=occurrence.hold_ttl_ms,
        hold_ttl_ms_max=occurrence.hold_ttl_ms_max,
        payment_window_ms=occurrence.payment_window_ms,
        max_per_order=occurrence.max_per_order,
        max_per_buyer=occurrence.max_per_buyer,
        categories=categories,
        quotas=tuple(quota for _, quota in quotas),
        ticket_types=types,
        sections=sections,
        room=_room(occurrence),
        **plan,
    )


def _room(occurrence: Occurrence) -> sale.Room:
    return sale.Room(
        on=occurrence.room_on,
        opens_at=_ms_or_none(occurrence.room_opens_at),
        pre_queue_ms=occurrence.room_pre_queue_ms,
        rate=occurrence.room_rate,
        rate_ms=occurrence.room_rate_ms,
        cap=occurrence.room_cap,
        claim_ms=occurrence.room_claim_ms,
        shop_ms=occurrence.room_shop_ms,
    )


async def _seats(
    session: AsyncSession, occurrence: Occurrence, now: datetime
) -> tuple[tuple[sale.Category, ...], tuple[sale.Section, ...], dict[str, Any]]:
    if occurrence.seat_map_id is None:
        return (), (), {}
    seat_map = await seat_map_of(session, occurrence.seat_map_id)
    stored = await session.scalars(
        select(SeatCategory)
        .where(SeatCategory.seat_map_id == seat_map.id)
        .order_by(SeatCategory.position)
    )
    categories = tuple(
        sale.Category(name=item.name)
        if item.color is None
        else sale.Category(name=item.name, color=item.color)
        for item in stored
    )
    blocked = await _blocked_seats(session, occurrence.id, now)
    places = await seat_places(session, seat_map.id)
    sections = tuple(
        _section(index, list(group), blocked)
        for index, (_, group) in enumerate(groupby(places, attrgetter("section_id")))
    )
    plan = {
        "focus_x": seat_map.focus_x,
        "focus_y": seat_map.focus_y,
        "width": seat_map.width or 0.0,
        "height": seat_map.height or 0.0,
    }
    return categories, sections, plan


def _section(index: int, places: list[Row[Any]], blocked: set[str]) -> sale.Section:
    """Make a section; positions become absolute: those of section, row and seat added up."""
    return sale.Section(
        name=places[0].section or f"Section {index + 1}",
        rows=tuple(
            sale.Row(name=group[0].row, seats=tuple(_row_seats(group, blocked)))
            for group in (list(found) for _, found in groupby(places, attrgetter("row_id")))
        ),
    )


def _row_seats(places: list[Row[Any]], blocked: set[str]) -> list[sale.Seat]:
    """Return a row's seats in the order in which people sit, which a plan need not list them in."""
    seats = [
        sale.Seat(
            guid=place.guid,
            number=place.number,
            x=round(place.section_x + (place.row_x or 0.0) + place.x, 3),
            y=round(place.section_y + (place.row_y or 0.0) + place.y, 3),
            category=place.category_position,
            kind=place.kind,
            blocked=place.guid in blocked,
        )
        for place in places
    ]
    return sitting_order(seats, lambda seat: (seat.x, seat.y))


def still_aside(now: datetime) -> tuple[Any, ...]:
    """Return the conditions for an allocation that is set aside at ``now``."""
    return (
        Allocation.status == "active",
        or_(Allocation.release_at.is_(None), Allocation.release_at > now),
    )


async def _blocked_seats(session: AsyncSession, occurrence_id: UUID, now: datetime) -> set[str]:
    query = (
        select(SeatRecord.guid)
        .join(AllocationSeat, AllocationSeat.seat_id == SeatRecord.id)
        .join(Allocation, Allocation.id == AllocationSeat.allocation_id)
        .where(Allocation.occurrence_id == occurrence_id, *still_aside(now))
    )
    return set(await session.scalars(query))


async def _set_aside(
    session: AsyncSession, occurrence_id: UUID, now: datetime
) -> Mapping[UUID | None, int]:
    query = (
        select(Allocation.quota_id, func.sum(Allocation.quantity))
        .where(
            Allocation.occurrence_id == occurrence_id,
            Allocation.quota_id.is_not(None),
            *still_aside(now),
        )
        .group_by(Allocation.quota_id)
    )
    return {row[0]: row[1] or 0 for row in await session.execute(query)}


async def _quotas(
    session: AsyncSession,
    occurrence_id: UUID,
    aside: Mapping[UUID | None, int],
    previous: Snapshot | None,
) -> list[tuple[UUID, sale.Quota]]:
    stored = await session.scalars(
        select(Quota)
        .where(Quota.occurrence_id == occurrence_id)
        .order_by(Quota.position, Quota.code)
    )
    known = [] if previous is None else [quota.code for quota in previous.quotas]
    return [
        (
            quota.id,
            sale.Quota(
                code=quota.code,
                name=quota.name,
                capacity=quota.capacity,
                blocked=aside.get(quota.id, 0),
            ),
        )
        for quota in in_known_order(stored, known)
    ]


async def _ticket_types(
    session: AsyncSession,
    occurrence_id: UUID,
    categories: tuple[sale.Category, ...],
    quotas: list[tuple[UUID, sale.Quota]],
    previous: Snapshot | None,
) -> tuple[sale.TicketType, ...]:
    of_occurrence = TicketType.occurrence_id == occurrence_id
    stored = await session.scalars(
        select(TicketType).where(of_occurrence).order_by(TicketType.position, TicketType.code)
    )
    tiers_of: dict[UUID, list[PriceTier]] = defaultdict(list)
    for tier in await session.scalars(
        select(PriceTier).join(TicketType).where(of_occurrence).order_by(PriceTier.position)
    ):
        tiers_of[tier.ticket_type_id].append(tier)
    quota_index = {quota_id: index for index, (quota_id, _) in enumerate(quotas)}
    quotas_of: dict[UUID, list[int]] = defaultdict(list)
    for link in await session.scalars(
        select(TicketTypeQuota).join(TicketType).where(of_occurrence)
    ):
        quotas_of[link.ticket_type_id].append(quota_index[link.quota_id])
    category_index = {category.name: index for index, category in enumerate(categories)}
    before = {} if previous is None else {kind.code: kind for kind in previous.ticket_types}
    return tuple(
        _ticket_type(
            kind,
            tiers=_tiers(kind.code, tiers_of[kind.id], before.get(kind.code)),
            quotas=tuple(sorted(quotas_of[kind.id])),
            category_index=category_index,
        )
        for kind in in_known_order(stored, list(before))
    )


def _ticket_type(
    kind: TicketType,
    tiers: tuple[sale.Tier, ...],
    quotas: tuple[int, ...],
    category_index: Mapping[str, int],
) -> sale.TicketType:
    if kind.category is not None and kind.category not in category_index:
        raise ConflictError(
            f'ticket type "{kind.code}" sells category "{kind.category}",'
            " which the seat map of this occurrence does not have"
        )
    return sale.TicketType(
        code=kind.code,
        name=kind.name,
        kind="general" if kind.category is None else "seat",
        tiers=tiers,
        quotas=quotas,
        category=None if kind.category is None else category_index[kind.category],
        description=kind.description,
        min_per_order=kind.min_per_order,
        max_per_order=kind.max_per_order,
        max_per_buyer=kind.max_per_buyer,
        sale_starts_at=_ms_or_none(kind.sale_starts_at),
        sale_ends_at=_ms_or_none(kind.sale_ends_at),
    )


def _tiers(
    code: str, stored: list[PriceTier], before: sale.TicketType | None
) -> tuple[sale.Tier, ...]:
    known = [] if before is None else [tier.code for tier in before.tiers]
    ordered = in_known_order(stored, known)
    if ordered != stored:
        # the first tier that applies wins: elsewhere in the order it would mean something else
        raise ConflictError(
            f'ticket type "{code}" is on sale with the tiers {", ".join(known)} in this order:'
            " add new ones after them"
        )
    return tuple(
        sale.Tier(
            code=tier.code,
            name=tier.name,
            price=tier.price,
            capacity=tier.capacity,
            starts_at=_ms_or_none(tier.starts_at),
            ends_at=_ms_or_none(tier.ends_at),
        )
        for tier in ordered
    )


def in_known_order(items: Iterable[T], known: list[str]) -> list[T]:
    """Return items with a ``code``: those in ``known`` in that order, then the others."""
    place = {code: index for index, code in enumerate(known)}
    return sorted(items, key=lambda item: place.get(item.code, len(place)))  # type: ignore[attr-defined]


def _ms(moment: datetime) -> int:
    # not timestamp() * 1000: a float could lose the last millisecond
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def _ms_or_none(moment: datetime | None) -> int | None:
    return None if moment is None else _ms(moment)
