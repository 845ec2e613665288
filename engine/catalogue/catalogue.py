"""A checked event, ready to be written: amounts in minor units, references resolved."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import msgspec

from engine.catalogue.document import EventDetails, OrganizationDocument, VenueDocument
from engine.catalogue.moments import Moment
from engine.catalogue.seating_plan import SeatingPlan
from engine.core.money import Fees


class Policies(msgspec.Struct, frozen=True, kw_only=True):
    """The rules of a sale, times in ms of the sale clock; the texts are for buyers."""

    hold_ttl_ms: int
    hold_ttl_ms_max: int
    payment_window_ms: int
    max_per_order: int
    max_per_buyer: int | None
    refund: str
    transfer: str
    cancellation: str


class CatalogueOccurrence(msgspec.Struct, frozen=True, kw_only=True):
    """One date of the event."""

    key: str
    zone: ZoneInfo
    starts_at: Moment
    ends_at: Moment
    sale_starts_at: Moment
    sale_ends_at: Moment


class CatalogueRoom(msgspec.Struct, frozen=True, kw_only=True):
    """The waiting room (``Room`` of a snapshot); ``opens_at`` None: with the sale."""

    on: bool
    opens_at: Moment | None
    pre_queue_ms: int
    rate: int
    rate_ms: int
    cap: int
    claim_ms: int
    shop_ms: int


class CatalogueTier(msgspec.Struct, frozen=True, kw_only=True):
    """``price`` in minor units; ``capacity`` None: no such limit."""

    code: str
    name: str
    price: int
    capacity: int | None
    starts_at: Moment | None
    ends_at: Moment | None


class CatalogueTicketType(msgspec.Struct, frozen=True, kw_only=True):
    """``category`` None: general admission. ``quotas``: their codes."""

    code: str
    name: str
    description: str
    category: str | None
    quotas: tuple[str, ...]
    tiers: tuple[CatalogueTier, ...]
    min_per_order: int
    max_per_order: int
    max_per_buyer: int | None
    sale_starts_at: Moment | None
    sale_ends_at: Moment | None


class CatalogueQuota(msgspec.Struct, frozen=True, kw_only=True):
    """A capacity; one with the code of a ticket type is that type's own quantity."""

    code: str
    name: str
    capacity: int


class CatalogueAllocation(msgspec.Struct, frozen=True, kw_only=True):
    """Seats by guid, or a quantity of a quota by code."""

    code: str
    name: str
    purpose: str
    seats: tuple[str, ...]
    quota: str | None
    quantity: int | None
    release_at: Moment | None


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one file describes. ``kinds``: guid -> kind, where not standard.

    ``notices``: what is allowed but may not be meant, as sentences.
    """

    organization: OrganizationDocument
    venue: VenueDocument
    event: EventDetails
    tax_rate_bp: int
    fees: Fees
    policies: Policies
    room: CatalogueRoom
    plan: SeatingPlan | None
    kinds: dict[str, str]
    occurrences: tuple[CatalogueOccurrence, ...]
    ticket_types: tuple[CatalogueTicketType, ...]
    quotas: tuple[CatalogueQuota, ...]
    allocations: tuple[CatalogueAllocation, ...]
    notices: tuple[str, ...] = ()
