"""What is answered about occurrences, their stock and their seats.

Amounts are integers in minor units of the ``currency`` beside them. Times are
RFC 3339 in UTC with milliseconds; ``*_in_ms`` counts down from the moment of
the answer (negative: it has passed), so that a wrong clock does no harm.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from engine.core.money import Fees
from engine.platform.http.schemas import Id, Moment
from engine.sale.inventory.snapshot import SeatKind, TicketKind
from engine.sale.inventory.stock import TicketState


class LiveQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``version``: what the client has seen last; it is sent what has changed since."""

    version: Annotated[int, Meta(ge=0, le=1 << 53)] | None = None


class EventRef(msgspec.Struct, kw_only=True):
    """Which event an occurrence is of."""

    id: Id
    slug: str
    name: str


class SaleWindow(msgspec.Struct, kw_only=True):
    """When tickets are sold. A paused sale is "open" with every deadline standing still."""

    state: Literal["upcoming", "open", "closed"]
    opens_at: Moment
    opens_in_ms: int
    closes_at: Moment
    closes_in_ms: int


class OccurrenceSummary(msgspec.Struct, kw_only=True):
    """An occurrence in a list.

    ``price_from``: the lowest price at which a hold is to be had now, before the sale that of its
    opening; null when there is none. ``price_display``: it as people read it.
    ``sold_out``: nothing is left, and no price is still to come; what is held may come back.
    """

    id: Id
    event: EventRef
    venue: str
    starts_at: Moment
    ends_at: Moment
    timezone: str
    sale: SaleWindow
    currency: str
    price_from: int | None
    price_display: str | None
    sold_out: bool


class OccurrencePage(msgspec.Struct, kw_only=True):
    """A page of occurrences; ``next`` is the cursor of the page after it, if there is one."""

    items: list[OccurrenceSummary]
    next: Id | None


class TierView(msgspec.Struct, kw_only=True):
    """A price that tickets have now. ``left``: so many can be had at it."""

    code: str
    name: str
    price: int
    display: str
    ends_at: Moment | None
    left: int


class TicketTypeView(msgspec.Struct, kw_only=True):
    """Something that can be bought.

    ``free``: how many can be held by quantity at this moment, as far as the last reading tells; 0
    where that is below ``min_per_order``. ``on_map_only``: so many more for who chooses them on
    the map (wheelchair and companion places). ``tier``: the price of the smallest order, null when
    there can be none; ``tiers``: all prices that apply now. A quantity that none of them has left
    is held at several, as its lines tell. ``opens_at``: when it can be had next, if it cannot now.
    """

    code: str
    name: str
    description: str
    kind: TicketKind
    category: str | None
    tier: TierView | None
    tiers: list[TierView]
    free: int
    on_map_only: int
    state: TicketState
    opens_at: Moment | None
    min_per_order: int
    max_per_order: int
    max_per_buyer: int | None
    sale_starts_at: Moment | None
    sale_ends_at: Moment | None


class Limits(msgspec.Struct, kw_only=True):
    """Tickets of all types together, and how long things are kept."""

    max_per_order: int
    max_per_buyer: int | None
    hold_ttl_ms: int
    hold_ttl_ms_max: int
    payment_window_ms: int


class OccurrenceView(OccurrenceSummary, kw_only=True):
    """An occurrence with all that a buyer chooses from."""

    ticket_types: list[TicketTypeView]
    fees: Fees
    tax_rate_bp: int
    limits: Limits
    has_seat_map: bool


class EventView(msgspec.Struct, kw_only=True):
    """An event with its published occurrences, the next one first, 100 at most."""

    id: Id
    slug: str
    name: str
    occurrences: list[OccurrenceSummary]


class EventPage(msgspec.Struct, kw_only=True):
    """A page of events; ``next`` is the cursor of the page after it, if there is one."""

    items: list[EventView]
    next: Id | None


class MapSeat(msgspec.Struct, kw_only=True):
    """A seat; its ``guid`` is what a hold names. ``category``: index into ``categories``."""

    guid: str
    number: str
    x: float
    y: float
    category: int
    kind: SeatKind


class MapRow(msgspec.Struct, kw_only=True):
    """A row. ``at``: the position of its first seat in the section's string of states."""

    name: str
    at: int
    seats: list[MapSeat]


class MapSection(msgspec.Struct, kw_only=True):
    """A block of rows."""

    name: str
    rows: list[MapRow]


class MapCategory(msgspec.Struct, kw_only=True):
    """A seating category and its colour."""

    name: str
    color: str


class SeatMapView(msgspec.Struct, kw_only=True):
    """The map as it was published; it never changes under the same ``version``."""

    version: str
    width: float
    height: float
    focus_x: float | None
    focus_y: float | None
    categories: list[MapCategory]
    sections: list[MapSection]


class CountView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What is free of a ticket type by quantity; ``on_map_only`` and ``opens_at`` if there are any.

    They mean what they mean of an occurrence's ticket types.
    """

    free: int
    state: TicketState
    on_map_only: int = 0
    opens_at: Moment | None = None


SeatStates = Annotated[
    str,
    Meta(
        description="A byte a seat, rows in order: . free, h held, s sold, x not for sale; "
        "rows are parted by a separator."
    ),
]


class AvailabilityView(msgspec.Struct, kw_only=True):
    """What is free now. ``sections`` in the order of the seat map, ``counts`` by type's code."""

    version: int
    counts: dict[str, CountView]
    sections: list[SeatStates]


class LiveSnapshot(AvailabilityView, tag_field="type", tag="snapshot", kw_only=True):
    """The first message of a live connection: everything."""


class LiveChanges(msgspec.Struct, tag_field="type", tag="changes", kw_only=True):
    """What has changed from version ``from`` to ``version``.

    ``seats``: [section, position, state]; ``counts``: the ticket types whose count changed.
    Apply it if ``from`` is at most the version you have; else connect again.
    """

    version: int
    from_: int = msgspec.field(name="from")
    seats: list[tuple[int, int, str]]
    counts: dict[str, CountView]
