"""From the published snapshot to what buyers see. Pure functions; ``now_ms`` is wall-clock time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from engine.core.money import display
from engine.core.times import rfc3339
from engine.sale.inventory import stock
from engine.sale.inventory.schemas import (
    CountView,
    EventRef,
    EventView,
    Limits,
    OccurrenceSummary,
    OccurrenceView,
    SaleWindow,
    TicketTypeView,
    TierView,
)
from engine.sale.inventory.snapshot import Snapshot
from engine.sale.inventory.stock import TierLeft, TypeStock

EVENT_OCCURRENCES_MAX = 100  # of an event; /v1/occurrences lists all


def summary(
    snapshot: Snapshot, now_ms: int, free: Mapping[str, int] | None = None
) -> OccurrenceSummary:
    """Return an occurrence as lists show it. ``free``: None while it cannot be read."""
    free = stock.unknown(snapshot) if free is None else free
    found = stock.of_all(snapshot, free, now_ms)
    sold_out = stock.is_sold_out(found)
    if now_ms < snapshot.sale_starts_at:
        found = stock.of_all(snapshot, free, stock.soonest(found, now_ms))
    price = stock.price_from(found)
    return OccurrenceSummary(
        id=snapshot.occurrence,
        event=_event(snapshot),
        venue=snapshot.venue_name,
        starts_at=rfc3339(snapshot.starts_at),
        ends_at=rfc3339(snapshot.ends_at),
        timezone=snapshot.timezone,
        sale=_window(snapshot, now_ms),
        currency=snapshot.currency,
        price_from=price,
        price_display=None if price is None else display(price, snapshot.currency),
        sold_out=sold_out,
    )


def occurrence_view(
    snapshot: Snapshot, free: Mapping[str, int], now_ms: int, *, paused: bool = False
) -> OccurrenceView:
    """Return an occurrence with its ticket types.

    ``free``: as :mod:`engine.sale.inventory.stock` takes it.
    """
    head = summary(snapshot, now_ms, free)
    return OccurrenceView(
        id=head.id,
        event=head.event,
        venue=head.venue,
        starts_at=head.starts_at,
        ends_at=head.ends_at,
        timezone=head.timezone,
        sale=head.sale,
        currency=head.currency,
        price_from=head.price_from,
        price_display=head.price_display,
        sold_out=head.sold_out,
        ticket_types=[
            _ticket_type(snapshot, one)
            for one in stock.of_all(snapshot, free, now_ms, paused=paused)
        ],
        fees=snapshot.fees,
        tax_rate_bp=snapshot.tax_rate_bp,
        limits=Limits(
            max_per_order=snapshot.max_per_order,
            max_per_buyer=snapshot.max_per_buyer,
            hold_ttl_ms=snapshot.hold_ttl_ms,
            hold_ttl_ms_max=snapshot.hold_ttl_ms_max,
            payment_window_ms=snapshot.payment_window_ms,
        ),
        has_seat_map=bool(snapshot.sections),
    )


def counts(
    snapshot: Snapshot, free: Mapping[str, int], now_ms: int, *, paused: bool = False
) -> dict[str, CountView]:
    """Return what is free of each ticket type, by its code."""
    return {
        one.kind.code: CountView(
            free=one.free,
            state=one.state,
            on_map_only=one.on_map_only,
            opens_at=_moment(one.opens_at),
        )
        for one in stock.of_all(snapshot, free, now_ms, paused=paused)
    }


def by_event(snapshots: Iterable[Snapshot], now_ms: int = 0) -> list[list[Snapshot]]:
    """Return the occurrences of each event as :func:`listed`; events by their first one.

    Without ``now_ms`` nothing counts as over.
    """
    found: dict[str, list[Snapshot]] = {}
    for snapshot in listed(snapshots, now_ms):
        found.setdefault(snapshot.event, []).append(snapshot)
    return list(found.values())


def event_view(
    occurrences: Sequence[Snapshot],
    now_ms: int,
    free: Mapping[str, Mapping[str, int]] | None = None,
) -> EventView:
    """Return an event with the first ``EVENT_OCCURRENCES_MAX`` of its occurrences.

    ``free``: of each occurrence, as far as it could be read.
    """
    first, free = occurrences[0], free or {}
    return EventView(
        id=first.event,
        slug=first.event_slug,
        name=first.event_name,
        occurrences=[
            summary(snapshot, now_ms, free.get(snapshot.occurrence))
            for snapshot in occurrences[:EVENT_OCCURRENCES_MAX]
        ],
    )


def listed(snapshots: Iterable[Snapshot], now_ms: int) -> list[Snapshot]:
    """Return them as lists have them: the next one first; behind, those over, the last one first.

    One that has begun and is not over counts as the next.
    """

    def place(snapshot: Snapshot) -> tuple[bool, int, str]:
        over = snapshot.ends_at <= now_ms
        return over, -snapshot.starts_at if over else snapshot.starts_at, snapshot.occurrence

    return sorted(snapshots, key=place)


def _ticket_type(snapshot: Snapshot, one: TypeStock) -> TicketTypeView:
    kind = one.kind
    tiers = {found.tier.code: _tier(found, snapshot.currency) for found in one.tiers}
    return TicketTypeView(
        code=kind.code,
        name=kind.name,
        description=kind.description,
        kind=kind.kind,
        category=None if kind.category is None else snapshot.categories[kind.category].name,
        tier=None if one.tier is None else tiers[one.tier.code],
        tiers=list(tiers.values()),
        free=one.free,
        on_map_only=one.on_map_only,
        state=one.state,
        opens_at=_moment(one.opens_at),
        min_per_order=kind.min_per_order,
        max_per_order=kind.max_per_order,
        max_per_buyer=kind.max_per_buyer,
        sale_starts_at=_moment(kind.sale_starts_at),
        sale_ends_at=_moment(kind.sale_ends_at),
    )


def _tier(found: TierLeft, currency: str) -> TierView:
    tier = found.tier
    return TierView(
        code=tier.code,
        name=tier.name,
        price=tier.price,
        display=display(tier.price, currency),
        ends_at=_moment(tier.ends_at),
        left=found.left,
    )


def _moment(time_ms: int | None) -> str | None:
    return None if time_ms is None else rfc3339(time_ms)


def _event(snapshot: Snapshot) -> EventRef:
    return EventRef(id=snapshot.event, slug=snapshot.event_slug, name=snapshot.event_name)


def _window(snapshot: Snapshot, now_ms: int) -> SaleWindow:
    return SaleWindow(
        state="upcoming"
        if now_ms < snapshot.sale_starts_at
        else "open"
        if now_ms < snapshot.sale_ends_at
        else "closed",
        opens_at=rfc3339(snapshot.sale_starts_at),
        opens_in_ms=snapshot.sale_starts_at - now_ms,
        closes_at=rfc3339(snapshot.sale_ends_at),
        closes_in_ms=snapshot.sale_ends_at - now_ms,
    )
