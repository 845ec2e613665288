"""Venues and their seat maps.

A seat map is never edited: a changed plan becomes the venue's next version, and
an occurrence keeps the version that it was published with. Columns hold what
the product reads; ``members`` holds whatever else the exchanged seating plan
said about the same thing, so that an export equals the import. An optional
member that was absent is NULL.
"""

from __future__ import annotations

import uuid
from typing import Any, Final

from sqlalchemy import (
    CheckConstraint,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from engine.platform.postgres.base import Base, Id, Moment, one_of, slug_form

SEAT_KINDS: Final = ("standard", "wheelchair", "companion", "restricted_view")


class Venue(Base):
    """A place. ``latitude``/``longitude``: WGS 84 degrees; ``country``: ISO 3166 alpha-2."""

    __tablename__ = "venues"

    id: Mapped[Id]
    organization_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("organizations.id"))
    slug: Mapped[str]
    name: Mapped[str]
    street: Mapped[str] = mapped_column(server_default="")
    postal_code: Mapped[str] = mapped_column(server_default="")
    city: Mapped[str] = mapped_column(server_default="")
    region: Mapped[str] = mapped_column(server_default="")
    country: Mapped[str] = mapped_column(server_default="")
    latitude: Mapped[float | None] = mapped_column(Double)
    longitude: Mapped[float | None] = mapped_column(Double)
    capacity: Mapped[int | None] = mapped_column(Integer)
    contact_email: Mapped[str] = mapped_column(server_default="")
    contact_phone: Mapped[str] = mapped_column(server_default="")
    website: Mapped[str] = mapped_column(server_default="")
    timezone: Mapped[str]
    created_at: Mapped[Moment] = mapped_column(server_default=func.now())
    updated_at: Mapped[Moment] = mapped_column(server_default=func.now(), onupdate=func.now())

    __table_args__ = (
        UniqueConstraint("organization_id", "slug"),
        slug_form(),
        CheckConstraint("latitude BETWEEN -90 AND 90", name="latitude_range"),
        CheckConstraint("longitude BETWEEN -180 AND 180", name="longitude_range"),
        CheckConstraint("(latitude IS NULL) = (longitude IS NULL)", name="geo_whole"),
        CheckConstraint("capacity > 0", name="capacity_range"),
        CheckConstraint("country = '' OR country ~ '^[A-Z]{2}$'", name="country_form"),
        Index("ix_venues_name_lower", text("lower(name)")),
        Index("ix_venues_city_lower", text("lower(city)")),
    )


class SeatMap(Base):
    """One version of a venue's plan. ``digest``: SHA-256 of everything in it."""

    __tablename__ = "seat_maps"

    id: Mapped[Id]
    venue_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("venues.id"))
    version: Mapped[int]
    name: Mapped[str]
    width: Mapped[float | None] = mapped_column(Double)
    height: Mapped[float | None] = mapped_column(Double)
    focus_x: Mapped[float | None] = mapped_column(Double)
    focus_y: Mapped[float | None] = mapped_column(Double)
    seat_count: Mapped[int]
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    members: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    created_at: Mapped[Moment] = mapped_column(server_default=func.now())

    __table_args__ = (
        UniqueConstraint("venue_id", "version"),
        CheckConstraint("version >= 1", name="version_range"),
        CheckConstraint("seat_count >= 0", name="seat_count_range"),
        CheckConstraint("width >= 0 AND height >= 0", name="size_range"),
        CheckConstraint("(focus_x IS NULL) = (focus_y IS NULL)", name="focus_whole"),
        CheckConstraint("octet_length(digest) = 32", name="digest_length"),
    )


class SeatCategory(Base):
    """A category of a seat map, in the plan's order (``position`` from 0)."""

    __tablename__ = "seat_categories"

    id: Mapped[Id]
    seat_map_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("seat_maps.id", ondelete="CASCADE"))
    position: Mapped[int]
    name: Mapped[str]
    color: Mapped[str | None]
    members: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")

    __table_args__ = (
        UniqueConstraint("seat_map_id", "name"),
        UniqueConstraint("seat_map_id", "position"),
        CheckConstraint("position >= 0", name="position_range"),
    )


class Section(Base):
    """A zone of the plan. ``x``/``y``: plan units, from the plan's corner."""

    __tablename__ = "sections"

    id: Mapped[Id]
    seat_map_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("seat_maps.id", ondelete="CASCADE"))
    position: Mapped[int]
    name: Mapped[str | None]
    x: Mapped[float] = mapped_column(Double)
    y: Mapped[float] = mapped_column(Double)
    members: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")

    __table_args__ = (
        UniqueConstraint("seat_map_id", "position"),
        CheckConstraint("position >= 0", name="position_range"),
    )


class SeatRow(Base):
    """A row of a section. ``x``/``y``: plan units, from the section's position."""

    __tablename__ = "seat_rows"

    id: Mapped[Id]
    section_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("sections.id", ondelete="CASCADE"))
    position: Mapped[int]
    number: Mapped[str]
    x: Mapped[float | None] = mapped_column(Double)
    y: Mapped[float | None] = mapped_column(Double)
    members: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")

    __table_args__ = (
        UniqueConstraint("section_id", "position"),
        CheckConstraint("position >= 0", name="position_range"),
        CheckConstraint("(x IS NULL) = (y IS NULL)", name="place_whole"),
    )


class Seat(Base):
    """A seat of a row. ``guid`` is unique in its map; ``x``/``y``: from the row's position."""

    __tablename__ = "seats"

    id: Mapped[Id]
    seat_map_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("seat_maps.id", ondelete="CASCADE"))
    row_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("seat_rows.id", ondelete="CASCADE"))
    category_id: Mapped[uuid.UUID] = mapped_column(
        ForeignKey("seat_categories.id", ondelete="CASCADE"), index=True
    )
    position: Mapped[int]
    guid: Mapped[str]
    number: Mapped[str]
    x: Mapped[float] = mapped_column(Double)
    y: Mapped[float] = mapped_column(Double)
    kind: Mapped[str] = mapped_column(server_default="standard")
    members: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")

    __table_args__ = (
        UniqueConstraint("seat_map_id", "guid"),
        UniqueConstraint("row_id", "position"),
        CheckConstraint("position >= 0", name="position_range"),
        CheckConstraint("length(guid) BETWEEN 1 AND 64", name="guid_length"),
        one_of("kind", SEAT_KINDS),
    )
