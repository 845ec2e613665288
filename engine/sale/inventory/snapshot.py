"""The frozen picture of an occurrence that a sale runs on.

Publication makes one from PostgreSQL and puts it into Redis; every process of
the hot plane reads it from there and from nowhere else. All times are integer
milliseconds since the epoch (UTC), all amounts minor units of ``currency``.

The order of ``categories``, ``quotas``, ``ticket_types``, their ``tiers``,
``sections``, rows and seats is part of the contract: holds, orders and records
name them by index. Republishing may append to the first four, never reorder.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from engine.core.money import Fees

SeatKind = Literal["standard", "wheelchair", "companion", "restricted_view"]
TicketKind = Literal["seat", "general"]


class Tier(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A price; the first tier whose window is open and whose stock suffices applies."""

    code: str
    name: str
    price: int
    capacity: int | None = None  # tickets at this price; None: as many as there are
    starts_at: int | None = None
    ends_at: int | None = None


class Quota(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A capacity that one or several ticket types share; ``blocked`` of it are set aside."""

    code: str
    name: str
    capacity: int
    blocked: int = 0


class TicketType(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that can be bought.

    ``kind`` "seat": one seat of ``category`` (an index) a ticket; "general":
    a quantity. ``quotas``: indexes; a sale takes from all of them or from none.
    A general type has at least one.
    """

    code: str
    name: str
    kind: TicketKind
    tiers: tuple[Tier, ...]
    quotas: tuple[int, ...] = ()
    category: int | None = None
    description: str = ""
    min_per_order: int = 1
    max_per_order: int = 10
    max_per_buyer: int | None = None
    sale_starts_at: int | None = None
    sale_ends_at: int | None = None


class Category(msgspec.Struct, frozen=True, kw_only=True):
    """A seating category of the plan; its seats are one pool of stock."""

    name: str
    color: str = "#888888"


class Seat(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A seat; ``guid`` is unique in the plan. ``x``/``y`` in plan units, absolute."""

    guid: str
    number: str
    x: float
    y: float
    category: int
    kind: SeatKind = "standard"
    blocked: bool = False


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A row, its seats in the order in which people sit."""

    name: str
    seats: tuple[Seat, ...]


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A block of rows."""

    name: str
    rows: tuple[Row, ...]


class Room(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The waiting room as published; operators change a running one by the control API.

    ``opens_at``: when the line is drawn and begins to move (wall-clock ms);
    None: when the sale starts. ``rate``: how many are called every ``rate_ms``
    at most. ``cap``: how many may be inside, or called and not yet in, at the
    same time. The other times are on the sale clock.
    """

    on: bool = True
    opens_at: int | None = None
    pre_queue_ms: int = 1_800_000  # joining begins so long before the opening
    rate: int = 50  # 50 people every 5 s
    rate_ms: int = 5_000
    cap: int = 500
    claim_ms: int = 120_000  # to enter once called
    shop_ms: int = 600_000  # to shop once inside


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a sale of one occurrence needs to know."""

    occurrence: str
    organization: str
    event: str
    event_name: str
    event_slug: str = ""  # the event's address under /v1/events/
    venue_name: str
    starts_at: int
    ends_at: int
    timezone: str
    sale_starts_at: int
    sale_ends_at: int
    currency: str
    tax_rate_bp: int
    fees: Fees
    hold_ttl_ms: int = 420_000  # 7 minutes from the last addition
    hold_ttl_ms_max: int = 900_000  # 15 minutes from the first
    payment_window_ms: int = 600_000  # 10 minutes
    max_per_order: int = 10  # tickets, of all types together
    max_per_buyer: int | None = None
    categories: tuple[Category, ...] = ()
    quotas: tuple[Quota, ...] = ()
    ticket_types: tuple[TicketType, ...] = ()
    sections: tuple[Section, ...] = ()
    focus_x: float | None = None  # where people look; None: the middle of the plan's front
    focus_y: float | None = None
    width: float = 0
    height: float = 0
    room: Room = Room(on=False)
