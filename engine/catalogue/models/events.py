"""Events, their occurrences, and the frozen snapshots that occurrences are sold from."""

from __future__ import annotations

import uuid
from typing import Any, Final

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    SmallInteger,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from engine.platform.postgres.base import Amount, Base, Id, Moment, one_of, slug_form

STATUSES: Final = ("draft", "published", "cancelled", "completed")
CATEGORIES: Final = (
    "concert",
    "sports",
    "theatre",
    "comedy",
    "conference",
    "workshop",
    "festival",
    "exhibition",
    "other",
)


class Event(Base):
    """What is put on. ``*_bp``: basis points; fees otherwise in minor units of ``currency``."""

    __tablename__ = "events"

    id: Mapped[Id]
    organization_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("organizations.id"), index=True)
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    description: Mapped[str] = mapped_column(server_default="")
    category: Mapped[str]
    status: Mapped[str] = mapped_column(server_default="draft")
    currency: Mapped[str]
    tax_rate_bp: Mapped[int] = mapped_column(server_default="0")
    platform_percent_bp: Mapped[int] = mapped_column(server_default="0")
    platform_per_ticket: Mapped[Amount] = mapped_column(server_default="0")
    payment_percent_bp: Mapped[int] = mapped_column(server_default="0")
    payment_fixed: Mapped[Amount] = mapped_column(server_default="0")
    refund_policy: Mapped[str] = mapped_column(server_default="")
    transfer_policy: Mapped[str] = mapped_column(server_default="")
    cancellation_policy: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[Moment] = mapped_column(server_default=func.now())
    updated_at: Mapped[Moment] = mapped_column(server_default=func.now(), onupdate=func.now())

    __table_args__ = (
        slug_form(),
        one_of("category", CATEGORIES),
        one_of("status", STATUSES),
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency_form"),
        CheckConstraint("tax_rate_bp BETWEEN 0 AND 10000", name="tax_rate_range"),
        CheckConstraint(
            "platform_percent_bp BETWEEN 0 AND 10000 AND payment_percent_bp BETWEEN 0 AND 10000"
            " AND platform_per_ticket >= 0 AND payment_fixed >= 0",
            name="fees_range",
        ),
        Index("ix_events_name_lower", text("lower(name)")),
    )


class Occurrence(Base):
    """One date of an event: what is sold. ``key`` names it within the event's file.

    ``shard`` is where its sale lives in Redis and never changes. ``*_ms``:
    milliseconds of the sale clock. ``seat_map_id`` is NULL without seats.
    ``room_*``: its waiting room (:class:`engine.sale.inventory.snapshot.Room`) as published.
    """

    __tablename__ = "occurrences"

    id: Mapped[Id]
    event_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("events.id"))
    venue_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("venues.id"), index=True)
    seat_map_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("seat_maps.id"), index=True)
    key: Mapped[str]
    starts_at: Mapped[Moment]
    ends_at: Mapped[Moment]
    timezone: Mapped[str]
    sale_starts_at: Mapped[Moment]
    sale_ends_at: Mapped[Moment]
    shard: Mapped[int] = mapped_column(SmallInteger)
    status: Mapped[str] = mapped_column(server_default="draft")
    hold_ttl_ms: Mapped[int] = mapped_column(server_default="420000")
    hold_ttl_ms_max: Mapped[int] = mapped_column(server_default="900000")
    payment_window_ms: Mapped[int] = mapped_column(server_default="600000")
    max_per_order: Mapped[int] = mapped_column(server_default="10")
    max_per_buyer: Mapped[int | None]
    room_on: Mapped[bool] = mapped_column(server_default="false")
    room_opens_at: Mapped[Moment | None]
    room_pre_queue_ms: Mapped[int] = mapped_column(server_default="1800000")
    room_rate: Mapped[int] = mapped_column(server_default="50")
    room_rate_ms: Mapped[int] = mapped_column(server_default="5000")
    room_cap: Mapped[int] = mapped_column(server_default="500")
    room_claim_ms: Mapped[int] = mapped_column(server_default="120000")
    room_shop_ms: Mapped[int] = mapped_column(server_default="600000")
    created_at: Mapped[Moment] = mapped_column(server_default=func.now())
    updated_at: Mapped[Moment] = mapped_column(server_default=func.now(), onupdate=func.now())

    __table_args__ = (
        UniqueConstraint("event_id", "key"),
        slug_form("key"),
        one_of("status", STATUSES),
        CheckConstraint("ends_at > starts_at", name="times_order"),
        CheckConstraint("sale_ends_at > sale_starts_at", name="sale_window_order"),
        CheckConstraint("shard >= 0", name="shard_range"),
        CheckConstraint(
            "hold_ttl_ms > 0 AND hold_ttl_ms_max >= hold_ttl_ms AND payment_window_ms > 0",
            name="times_range",
        ),
        CheckConstraint("max_per_order >= 1 AND max_per_buyer >= 1", name="limits_range"),
        CheckConstraint(
            "room_pre_queue_ms > 0 AND room_rate > 0 AND room_rate_ms > 0 AND room_cap > 0"
            " AND room_claim_ms > 0 AND room_shop_ms > 0",
            name="room_range",
        ),
        CheckConstraint(
            "room_opens_at >= sale_starts_at AND room_opens_at < sale_ends_at",
            name="room_opens_in_sale",
        ),
        Index("ix_occurrences_starts_at", "starts_at"),
    )


class PublicationIntent(Base):
    """A publication that was begun: ``document`` may have reached Redis, whole, in part or not.

    It is written before Redis is touched, and taken away when the publication is
    in :class:`SeatMapSnapshot`; whoever finds one finishes it (ADR 0014).
    """

    __tablename__ = "publication_intents"

    occurrence_id: Mapped[uuid.UUID] = mapped_column(
        Uuid, ForeignKey("occurrences.id"), primary_key=True
    )
    document: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[Moment] = mapped_column(server_default=func.now())


class SeatMapSnapshot(Base):
    """The :class:`engine.sale.inventory.snapshot.Snapshot` of each publication, for ever."""

    __tablename__ = "seat_map_snapshots"

    id: Mapped[Id]
    occurrence_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("occurrences.id"))
    version: Mapped[int]
    document: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[Moment] = mapped_column(server_default=func.now())

    __table_args__ = (
        UniqueConstraint("occurrence_id", "version"),
        CheckConstraint("version >= 1", name="version_range"),
    )
