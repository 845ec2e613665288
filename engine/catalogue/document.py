"""The format of EVENT.yaml: one readable file for a whole event.

These structs are what :mod:`engine.catalogue.reading` checks a file against;
what a single member cannot tell (references, amounts, times in order) is
checked by :mod:`engine.catalogue.resolve`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

OCCURRENCES_MAX = 200
TICKET_TYPES_MAX = 100
TIERS_MAX = 20
QUOTAS_MAX = 100
ALLOCATIONS_MAX = 500
ALLOCATION_ITEMS_MAX = 20_000
COUNT_MAX = 1_000_000
PER_ORDER_MAX = 100  # the most tickets that one order can name

Slug = Annotated[
    str,
    Meta(
        max_length=64,
        pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$",
        description="a slug: lower-case letters, digits and single hyphens, 64 at most",
    ),
]
Code = Annotated[str, Meta(min_length=1, max_length=64)]
Name = Annotated[str, Meta(min_length=1, max_length=200)]
Text = Annotated[str, Meta(max_length=10_000)]
Short = Annotated[str, Meta(max_length=200)]
Email = Annotated[
    str,
    Meta(max_length=254, pattern=r"^([^@\s]+@[^@\s]+\.[^@\s]+)?$", description="an e-mail address"),
]
Country = Annotated[
    str,
    Meta(pattern=r"^([A-Z]{2})?$", description="a country's two capital letters (ISO 3166)"),
]
Decimal = Annotated[
    str,
    Meta(pattern=r"^[0-9]+(\.[0-9]+)?$", description='a decimal in quotes, such as "45.00"'),
]
Duration = Annotated[
    str,
    Meta(
        pattern=r"^[1-9][0-9]{0,4} (second|minute|hour)s?$",
        description='a length of time such as "7 minutes"',
    ),
]
Rate = Annotated[
    str,
    Meta(
        pattern=r"^[1-9][0-9]{0,5} per ([1-9][0-9]{0,4} )?(second|minute)s?$",
        description='a rate such as "50 per 5 seconds"',
    ),
]
When = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        description='a time with its offset such as "2027-05-01T20:00:00+02:00", "now",'
        ' or "in 90 days at 20:00"',
    ),
]
Count = Annotated[int, Meta(ge=1, le=COUNT_MAX)]
PerOrder = Annotated[int, Meta(ge=1, le=PER_ORDER_MAX)]
Category = Literal[
    "concert",
    "sports",
    "theatre",
    "comedy",
    "conference",
    "workshop",
    "festival",
    "exhibition",
    "other",
]
Purpose = Literal["vip", "group", "sponsor", "box_office", "press", "artist", "other"]
SpecialKind = Literal["wheelchair", "companion", "restricted_view"]


class OrganizationDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Who puts it on."""

    slug: Slug
    name: Name
    email: Email = ""


class AddressDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Where a venue is."""

    street: Short = ""
    postal_code: Short = ""
    city: Short = ""
    region: Short = ""
    country: Country = ""


class GeoDocument(msgspec.Struct, frozen=True, kw_only=True):
    """WGS 84 degrees."""

    latitude: Annotated[float, Meta(ge=-90, le=90)]
    longitude: Annotated[float, Meta(ge=-180, le=180)]


class ContactDocument(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach a venue."""

    email: Email = ""
    phone: Short = ""
    website: Short = ""


class FocusDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Where people look, in plan units: best available seats are near it."""

    x: Annotated[float, Meta(ge=-1_000_000, le=1_000_000)]
    y: Annotated[float, Meta(ge=-1_000_000, le=1_000_000)]


class SeatKindDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Seats that are not standard: whole ``categories``, or ``seats`` by guid."""

    kind: SpecialKind
    categories: Annotated[list[Name], Meta(max_length=200)] = []
    seats: Annotated[list[Code], Meta(max_length=ALLOCATION_ITEMS_MAX)] = []


class VenueDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The place. ``seating_plan``: a JSON file, looked for beside this file."""

    slug: Slug
    name: Name
    timezone: Short
    address: AddressDocument = AddressDocument()
    geo: GeoDocument | None = None
    contact: ContactDocument = ContactDocument()
    capacity: Count | None = None
    seating_plan: Annotated[str, Meta(min_length=1, max_length=500)] | None = None
    focus: FocusDocument | None = None
    seat_kinds: Annotated[list[SeatKindDocument], Meta(max_length=50)] = []


class FeesDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What is added to prices; ``*_percent`` in percent, the others in the currency."""

    platform_percent: Decimal = "0"
    platform_per_ticket: Decimal = "0"
    payment_percent: Decimal = "0"
    payment_fixed: Decimal = "0"


class PoliciesDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The rules of the sale; ``max_*`` count tickets of all types together."""

    hold: Duration = "7 minutes"
    hold_max: Duration = "15 minutes"
    payment_window: Duration = "10 minutes"
    max_per_order: PerOrder = 10
    max_per_buyer: Count | None = None
    refund: Text = ""
    transfer: Text = ""
    cancellation: Text = ""


class WaitingRoomDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The line in front of the sale. Without this section there is none.

    ``opens_at``: when the line is drawn and begins to move; without it, when the
    sale starts. ``pre_queue``: how long before that people can join the draw.
    ``rate``: how many are called in, at most. ``cap``: how many may be inside,
    or called and not yet in, at the same time. ``claim``: to come in once
    called. ``shop``: to shop once inside.
    """

    on: bool = True
    opens_at: When | None = None
    pre_queue: Duration = "30 minutes"
    rate: Rate = "50 per 5 seconds"
    cap: Count = 500
    claim: Duration = "2 minutes"
    shop: Duration = "10 minutes"


class EventDetails(msgspec.Struct, frozen=True, kw_only=True):
    """What is put on. ``tax_percent``: on the price of tickets."""

    slug: Slug
    name: Name
    category: Category
    currency: Short
    description: Text = ""
    tax_percent: Decimal = "0"


class OccurrenceDocument(msgspec.Struct, frozen=True, kw_only=True):
    """One date. ``key`` names it in this file for ever."""

    key: Slug
    starts_at: When
    ends_at: When
    sale_starts_at: When
    sale_ends_at: When
    timezone: Short | None = None


class TierDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A price, for a ``quantity`` of tickets, for a time, or until all are sold."""

    code: Code
    price: Decimal
    name: Name | None = None
    quantity: Count | None = None
    starts_at: When | None = None
    ends_at: When | None = None


class QuotaDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A capacity that several ticket types share."""

    code: Code
    capacity: Annotated[int, Meta(ge=0, le=COUNT_MAX)]
    name: Name | None = None


class TicketTypeDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Something to buy: seats of a ``category``, or general admission.

    ``quantity`` is a capacity of its own, ``quotas`` are shared ones; a general
    type needs at least one of them. Either ``price`` or ``tiers``.
    """

    code: Code
    name: Name
    category: Name | None = None
    quantity: Count | None = None
    quotas: Annotated[list[Code], Meta(max_length=QUOTAS_MAX)] = []
    price: Decimal | None = None
    tiers: Annotated[list[TierDocument], Meta(max_length=TIERS_MAX)] = []
    description: Text = ""
    min_per_order: PerOrder = 1
    max_per_order: PerOrder | None = None
    max_per_buyer: Count | None = None
    sale_starts_at: When | None = None
    sale_ends_at: When | None = None


class RowReference(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the plan by the names of its section and itself."""

    section: Name
    row: Name


class AllocationDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Set aside until ``release_at``: seats, or a ``quantity`` of a ``quota``.

    A ticket type's own ``quantity`` is a quota with the code of the type.
    """

    code: Code
    purpose: Purpose
    name: Name | None = None
    seats: Annotated[list[Code], Meta(max_length=ALLOCATION_ITEMS_MAX)] = []
    rows: Annotated[list[RowReference], Meta(max_length=2_000)] = []
    sections: Annotated[list[Name], Meta(max_length=500)] = []
    quota: Code | None = None
    quantity: Count | None = None
    release_at: When | None = None


class EventDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file. What is not within ``occurrences`` holds for every one of them."""

    organization: OrganizationDocument
    venue: VenueDocument
    event: EventDetails
    occurrences: Annotated[list[OccurrenceDocument], Meta(min_length=1, max_length=OCCURRENCES_MAX)]
    ticket_types: Annotated[
        list[TicketTypeDocument], Meta(min_length=1, max_length=TICKET_TYPES_MAX)
    ]
    quotas: Annotated[list[QuotaDocument], Meta(max_length=QUOTAS_MAX)] = []
    allocations: Annotated[list[AllocationDocument], Meta(max_length=ALLOCATIONS_MAX)] = []
    policies: PoliciesDocument = PoliciesDocument()
    waiting_room: WaitingRoomDocument = WaitingRoomDocument(on=False)
    fees: FeesDocument = FeesDocument()
