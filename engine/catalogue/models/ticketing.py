"""What an occurrence sells: ticket types, price tiers, quotas and allocations.

``position`` is the order in which the file or the operator listed things.
"""

from __future__ import annotations

import uuid
from typing import Final

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from engine.platform.postgres.base import Amount, Base, Id, Moment, one_of

TICKET_KINDS: Final = ("seat", "general")
PURPOSES: Final = ("vip", "group", "sponsor", "box_office", "press", "artist", "other")
ALLOCATION_STATUSES: Final = ("active", "released")
_CODE = "length(code) BETWEEN 1 AND 64"


class TicketType(Base):
    """Something to buy. ``category`` names the seats of a "seat" type; "general" has none."""

    __tablename__ = "ticket_types"

    id: Mapped[Id]
    occurrence_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("occurrences.id"))
    position: Mapped[int]
    code: Mapped[str]
    name: Mapped[str]
    description: Mapped[str] = mapped_column(server_default="")
    kind: Mapped[str]
    category: Mapped[str | None]
    min_per_order: Mapped[int] = mapped_column(server_default="1")
    max_per_order: Mapped[int] = mapped_column(server_default="10")
    max_per_buyer: Mapped[int | None]
    sale_starts_at: Mapped[Moment | None]
    sale_ends_at: Mapped[Moment | None]
    created_at: Mapped[Moment] = mapped_column(server_default=func.now())
    updated_at: Mapped[Moment] = mapped_column(server_default=func.now(), onupdate=func.now())

    __table_args__ = (
        UniqueConstraint("occurrence_id", "code"),
        one_of("kind", TICKET_KINDS),
        CheckConstraint(_CODE, name="code_length"),
        CheckConstraint("(kind = 'seat') = (category IS NOT NULL)", name="category_of_seats"),
        CheckConstraint(
            "min_per_order >= 1 AND max_per_order >= min_per_order AND max_per_buyer >= 1",
            name="limits_range",
        ),
        CheckConstraint("sale_ends_at > sale_starts_at", name="sale_window_order"),
        CheckConstraint("position >= 0", name="position_range"),
    )


class PriceTier(Base):
    """A price, in minor units. ``capacity``: tickets at this price; NULL: no such limit."""

    __tablename__ = "price_tiers"

    id: Mapped[Id]
    ticket_type_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("ticket_types.id", ondelete="CASCADE")
    )
    position: Mapped[int]
    code: Mapped[str]
    name: Mapped[str]
    price: Mapped[Amount]
    capacity: Mapped[int | None]
    starts_at: Mapped[Moment | None]
    ends_at: Mapped[Moment | None]

    __table_args__ = (
        UniqueConstraint("ticket_type_id", "code"),
        CheckConstraint(_CODE, name="code_length"),
        CheckConstraint("price >= 0", name="price_range"),
        CheckConstraint("capacity >= 1", name="capacity_range"),
        CheckConstraint("ends_at > starts_at", name="window_order"),
        CheckConstraint("position >= 0", name="position_range"),
    )


class Quota(Base):
    """A capacity that one or several ticket types share."""

    __tablename__ = "quotas"

    id: Mapped[Id]
    occurrence_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("occurrences.id"))
    position: Mapped[int]
    code: Mapped[str]
    name: Mapped[str]
    capacity: Mapped[int]

    __table_args__ = (
        UniqueConstraint("occurrence_id", "code"),
        CheckConstraint(_CODE, name="code_length"),
        CheckConstraint("capacity >= 0", name="capacity_range"),
        CheckConstraint("position >= 0", name="position_range"),
    )


class TicketTypeQuota(Base):
    """A ticket type takes from this quota."""

    __tablename__ = "ticket_type_quotas"

    ticket_type_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("ticket_types.id", ondelete="CASCADE"), primary_key=True
    )
    quota_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("quotas.id", ondelete="CASCADE"), primary_key=True, index=True
    )


class Allocation(Base):
    """Seats (:class:`AllocationSeat`) or ``quantity`` of a quota, set aside until released.

    An active one whose ``release_at`` has passed counts as released; a worker
    puts it on sale (:mod:`engine.catalogue.releases`) and makes it so.
    """

    __tablename__ = "allocations"

    id: Mapped[Id]
    occurrence_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("occurrences.id"))
    code: Mapped[str]
    name: Mapped[str]
    purpose: Mapped[str]
    status: Mapped[str] = mapped_column(server_default="active")
    quota_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("quotas.id", ondelete="CASCADE"), index=True
    )
    quantity: Mapped[int | None]
    release_at: Mapped[Moment | None]
    created_at: Mapped[Moment] = mapped_column(server_default=func.now())
    updated_at: Mapped[Moment] = mapped_column(server_default=func.now(), onupdate=func.now())

    __table_args__ = (
        UniqueConstraint("occurrence_id", "code"),
        CheckConstraint(_CODE, name="code_length"),
        one_of("purpose", PURPOSES),
        one_of("status", ALLOCATION_STATUSES),
        CheckConstraint("(quota_id IS NULL) = (quantity IS NULL)", name="quantity_of_quota"),
        CheckConstraint("quantity >= 1", name="quantity_range"),
        Index(
            "ix_allocations_release_at_active",
            "release_at",
            postgresql_where=text("status = 'active'"),
        ),
    )


class AllocationSeat(Base):
    """A seat of an allocation."""

    __tablename__ = "allocation_seats"

    allocation_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("allocations.id", ondelete="CASCADE"), primary_key=True
    )
    seat_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("seats.id", ondelete="CASCADE"), primary_key=True, index=True
    )
