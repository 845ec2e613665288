"""The catalogue: organizations, venues, events, what they sell, and the outbox."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy import CheckConstraint as Check
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001_catalogue"
down_revision = None
branch_labels = None
depends_on = None


def _id() -> sa.Column[Any]:
    return sa.Column("id", sa.Uuid(), primary_key=True, server_default=sa.text("uuidv7()"))


def _reference(
    name: str, table: str, *, nullable: bool = False, cascade: bool = False, index: bool = False
) -> sa.Column[Any]:
    key = sa.ForeignKey(f"{table}.id", ondelete="CASCADE" if cascade else None)
    return sa.Column(name, sa.Uuid(), key, nullable=nullable, index=index)


def _count(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Integer(), nullable=nullable)


def _zero(name: str, kind: sa.types.TypeEngine[int] | None = None) -> sa.Column[Any]:
    return sa.Column(name, kind or sa.Integer(), server_default="0", nullable=False)


def _required(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), nullable=False)


def _text(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), server_default="", nullable=False)


def _time(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _now(name: str) -> sa.Column[Any]:
    return sa.Column(
        name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
    )


def _slug_form(column: str) -> Check:
    form = f"{column} ~ '^[a-z0-9]+(-[a-z0-9]+)*$' AND length({column}) <= 64"
    return Check(form, name=f"{column}_form")


def _code_length() -> Check:
    return Check("length(code) BETWEEN 1 AND 64", name="code_length")


def _times() -> tuple[sa.Column[Any], sa.Column[Any]]:
    return _now("created_at"), _now("updated_at")


def _members() -> sa.Column[Any]:
    return sa.Column("members", JSONB(), server_default="{}", nullable=False)


def _lower_index(table: str, column: str) -> None:
    expression: sa.ColumnClause[str] = sa.literal_column(f"lower({column})")
    op.create_index(f"ix_{table}_{column}_lower", table, [expression])


def upgrade() -> None:
    """Apply this revision."""
    op.create_table(
        "organizations",
        _id(),
        _required("slug"),
        _required("name"),
        _text("email"),
        *_times(),
        _slug_form("slug"),
        sa.UniqueConstraint("slug"),
    )
    _lower_index("organizations", "name")
    op.create_table(
        "events",
        _id(),
        _reference("organization_id", "organizations", index=True),
        _required("slug"),
        _required("name"),
        _text("description"),
        _required("category"),
        sa.Column("status", sa.Text(), server_default="draft", nullable=False),
        _required("currency"),
        _zero("tax_rate_bp"),
        _zero("platform_percent_bp"),
        _zero("platform_per_ticket", sa.BigInteger()),
        _zero("payment_percent_bp"),
        _zero("payment_fixed", sa.BigInteger()),
        _text("refund_policy"),
        _text("transfer_policy"),
        _text("cancellation_policy"),
        *_times(),
        Check(
            "category IN ('concert', 'sports', 'theatre', 'comedy', 'conference', 'workshop',"
            " 'festival', 'exhibition', 'other')",
            name="category",
        ),
        Check("currency ~ '^[A-Z]{3}$'", name="currency_form"),
        _slug_form("slug"),
        Check("status IN ('draft', 'published', 'cancelled', 'completed')", name="status"),
        Check(
            "platform_percent_bp BETWEEN 0 AND 10000 AND payment_percent_bp BETWEEN 0 AND 10000"
            " AND platform_per_ticket >= 0 AND payment_fixed >= 0",
            name="fees_range",
        ),
        Check("tax_rate_bp BETWEEN 0 AND 10000", name="tax_rate_range"),
        sa.UniqueConstraint("slug"),
    )
    _lower_index("events", "name")
    op.create_table(
        "outbox",
        _id(),
        _reference("organization_id", "organizations", nullable=True, index=True),
        _required("kind"),
        sa.Column("payload", JSONB(), nullable=False),
        _now("created_at"),
        _now("due_at"),
        _zero("attempts"),
        _text("error"),
        _time("done_at", nullable=True),
        Check("attempts >= 0", name="attempts_range"),
        Check("length(kind) BETWEEN 1 AND 64", name="kind_length"),
    )
    op.create_index(
        "ix_outbox_due_at_undone", "outbox", ["due_at"], postgresql_where=sa.text("done_at IS NULL")
    )
    op.create_table(
        "venues",
        _id(),
        _reference("organization_id", "organizations"),
        _required("slug"),
        _required("name"),
        _text("street"),
        _text("postal_code"),
        _text("city"),
        _text("region"),
        _text("country"),
        sa.Column("latitude", sa.Double(), nullable=True),
        sa.Column("longitude", sa.Double(), nullable=True),
        _count("capacity", nullable=True),
        _text("contact_email"),
        _text("contact_phone"),
        _text("website"),
        _required("timezone"),
        *_times(),
        Check("country = '' OR country ~ '^[A-Z]{2}$'", name="country_form"),
        _slug_form("slug"),
        Check("(latitude IS NULL) = (longitude IS NULL)", name="geo_whole"),
        Check("capacity > 0", name="capacity_range"),
        Check("latitude BETWEEN -90 AND 90", name="latitude_range"),
        Check("longitude BETWEEN -180 AND 180", name="longitude_range"),
        sa.UniqueConstraint("organization_id", "slug"),
    )
    _lower_index("venues", "city")
    _lower_index("venues", "name")
    op.create_table(
        "seat_maps",
        _id(),
        _reference("venue_id", "venues"),
        _count("version"),
        _required("name"),
        sa.Column("width", sa.Double(), nullable=True),
        sa.Column("height", sa.Double(), nullable=True),
        sa.Column("focus_x", sa.Double(), nullable=True),
        sa.Column("focus_y", sa.Double(), nullable=True),
        _count("seat_count"),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        _members(),
        _now("created_at"),
        Check("(focus_x IS NULL) = (focus_y IS NULL)", name="focus_whole"),
        Check("octet_length(digest) = 32", name="digest_length"),
        Check("seat_count >= 0", name="seat_count_range"),
        Check("version >= 1", name="version_range"),
        Check("width >= 0 AND height >= 0", name="size_range"),
        sa.UniqueConstraint("venue_id", "version"),
    )
    op.create_table(
        "occurrences",
        _id(),
        _reference("event_id", "events"),
        _reference("venue_id", "venues", index=True),
        _reference("seat_map_id", "seat_maps", nullable=True, index=True),
        _required("key"),
        _time("starts_at"),
        _time("ends_at"),
        _required("timezone"),
        _time("sale_starts_at"),
        _time("sale_ends_at"),
        sa.Column("shard", sa.SmallInteger(), nullable=False),
        sa.Column("status", sa.Text(), server_default="draft", nullable=False),
        sa.Column("hold_ttl_ms", sa.Integer(), server_default="420000", nullable=False),
        sa.Column("hold_ttl_ms_max", sa.Integer(), server_default="900000", nullable=False),
        sa.Column("payment_window_ms", sa.Integer(), server_default="600000", nullable=False),
        sa.Column("max_per_order", sa.Integer(), server_default="10", nullable=False),
        _count("max_per_buyer", nullable=True),
        sa.Column("room_on", sa.Boolean(), server_default="false", nullable=False),
        _time("room_opens_at", nullable=True),
        sa.Column("room_pre_queue_ms", sa.Integer(), server_default="1800000", nullable=False),
        sa.Column("room_rate", sa.Integer(), server_default="50", nullable=False),
        sa.Column("room_rate_ms", sa.Integer(), server_default="5000", nullable=False),
        sa.Column("room_cap", sa.Integer(), server_default="500", nullable=False),
        sa.Column("room_claim_ms", sa.Integer(), server_default="120000", nullable=False),
        sa.Column("room_shop_ms", sa.Integer(), server_default="600000", nullable=False),
        *_times(),
        _slug_form("key"),
        Check("status IN ('draft', 'published', 'cancelled', 'completed')", name="status"),
        Check("ends_at > starts_at", name="times_order"),
        Check(
            "hold_ttl_ms > 0 AND hold_ttl_ms_max >= hold_ttl_ms AND payment_window_ms > 0",
            name="times_range",
        ),
        Check("max_per_order >= 1 AND max_per_buyer >= 1", name="limits_range"),
        Check(
            "room_pre_queue_ms > 0 AND room_rate > 0 AND room_rate_ms > 0 AND room_cap > 0"
            " AND room_claim_ms > 0 AND room_shop_ms > 0",
            name="room_range",
        ),
        Check(
            "room_opens_at >= sale_starts_at AND room_opens_at < sale_ends_at",
            name="room_opens_in_sale",
        ),
        Check("sale_ends_at > sale_starts_at", name="sale_window_order"),
        Check("shard >= 0", name="shard_range"),
        sa.UniqueConstraint("event_id", "key"),
    )
    op.create_index("ix_occurrences_starts_at", "occurrences", ["starts_at"])
    op.create_table(
        "seat_categories",
        _id(),
        _reference("seat_map_id", "seat_maps", cascade=True),
        _count("position"),
        _required("name"),
        sa.Column("color", sa.Text(), nullable=True),
        _members(),
        Check("position >= 0", name="position_range"),
        sa.UniqueConstraint("seat_map_id", "name"),
        sa.UniqueConstraint("seat_map_id", "position"),
    )
    op.create_table(
        "sections",
        _id(),
        _reference("seat_map_id", "seat_maps", cascade=True),
        _count("position"),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("x", sa.Double(), nullable=False),
        sa.Column("y", sa.Double(), nullable=False),
        _members(),
        Check("position >= 0", name="position_range"),
        sa.UniqueConstraint("seat_map_id", "position"),
    )
    op.create_table(
        "quotas",
        _id(),
        _reference("occurrence_id", "occurrences"),
        _count("position"),
        _required("code"),
        _required("name"),
        _count("capacity"),
        Check("capacity >= 0", name="capacity_range"),
        _code_length(),
        Check("position >= 0", name="position_range"),
        sa.UniqueConstraint("occurrence_id", "code"),
    )
    op.create_table(
        "seat_map_snapshots",
        _id(),
        _reference("occurrence_id", "occurrences"),
        _count("version"),
        sa.Column("document", JSONB(), nullable=False),
        _now("created_at"),
        Check("version >= 1", name="version_range"),
        sa.UniqueConstraint("occurrence_id", "version"),
    )
    op.create_table(
        "seat_rows",
        _id(),
        _reference("section_id", "sections", cascade=True),
        _count("position"),
        _required("number"),
        sa.Column("x", sa.Double(), nullable=True),
        sa.Column("y", sa.Double(), nullable=True),
        _members(),
        Check("(x IS NULL) = (y IS NULL)", name="place_whole"),
        Check("position >= 0", name="position_range"),
        sa.UniqueConstraint("section_id", "position"),
    )
    op.create_table(
        "ticket_types",
        _id(),
        _reference("occurrence_id", "occurrences"),
        _count("position"),
        _required("code"),
        _required("name"),
        _text("description"),
        _required("kind"),
        sa.Column("category", sa.Text(), nullable=True),
        sa.Column("min_per_order", sa.Integer(), server_default="1", nullable=False),
        sa.Column("max_per_order", sa.Integer(), server_default="10", nullable=False),
        _count("max_per_buyer", nullable=True),
        _time("sale_starts_at", nullable=True),
        _time("sale_ends_at", nullable=True),
        *_times(),
        Check("(kind = 'seat') = (category IS NOT NULL)", name="category_of_seats"),
        Check("kind IN ('seat', 'general')", name="kind"),
        _code_length(),
        Check(
            "min_per_order >= 1 AND max_per_order >= min_per_order AND max_per_buyer >= 1",
            name="limits_range",
        ),
        Check("position >= 0", name="position_range"),
        Check("sale_ends_at > sale_starts_at", name="sale_window_order"),
        sa.UniqueConstraint("occurrence_id", "code"),
    )
    op.create_table(
        "allocations",
        _id(),
        _reference("occurrence_id", "occurrences"),
        _required("code"),
        _required("name"),
        _required("purpose"),
        sa.Column("status", sa.Text(), server_default="active", nullable=False),
        _reference("quota_id", "quotas", nullable=True, cascade=True, index=True),
        _count("quantity", nullable=True),
        _time("release_at", nullable=True),
        *_times(),
        Check(
            "purpose IN ('vip', 'group', 'sponsor', 'box_office', 'press', 'artist', 'other')",
            name="purpose",
        ),
        Check("status IN ('active', 'released')", name="status"),
        Check("(quota_id IS NULL) = (quantity IS NULL)", name="quantity_of_quota"),
        _code_length(),
        Check("quantity >= 1", name="quantity_range"),
        sa.UniqueConstraint("occurrence_id", "code"),
    )
    op.create_table(
        "price_tiers",
        _id(),
        _reference("ticket_type_id", "ticket_types", cascade=True),
        _count("position"),
        _required("code"),
        _required("name"),
        sa.Column("price", sa.BigInteger(), nullable=False),
        _count("capacity", nullable=True),
        _time("starts_at", nullable=True),
        _time("ends_at", nullable=True),
        Check("capacity >= 1", name="capacity_range"),
        Check("ends_at > starts_at", name="window_order"),
        _code_length(),
        Check("position >= 0", name="position_range"),
        Check("price >= 0", name="price_range"),
        sa.UniqueConstraint("ticket_type_id", "code"),
    )
    op.create_table(
        "seats",
        _id(),
        _reference("seat_map_id", "seat_maps", cascade=True),
        _reference("row_id", "seat_rows", cascade=True),
        _reference("category_id", "seat_categories", cascade=True, index=True),
        _count("position"),
        _required("guid"),
        _required("number"),
        sa.Column("x", sa.Double(), nullable=False),
        sa.Column("y", sa.Double(), nullable=False),
        sa.Column("kind", sa.Text(), server_default="standard", nullable=False),
        _members(),
        Check("kind IN ('standard', 'wheelchair', 'companion', 'restricted_view')", name="kind"),
        Check("length(guid) BETWEEN 1 AND 64", name="guid_length"),
        Check("position >= 0", name="position_range"),
        sa.UniqueConstraint("row_id", "position"),
        sa.UniqueConstraint("seat_map_id", "guid"),
    )
    op.create_table(
        "ticket_type_quotas",
        _reference("ticket_type_id", "ticket_types", cascade=True),
        _reference("quota_id", "quotas", cascade=True, index=True),
        sa.PrimaryKeyConstraint("ticket_type_id", "quota_id"),
    )
    op.create_table(
        "allocation_seats",
        _reference("allocation_id", "allocations", cascade=True),
        _reference("seat_id", "seats", cascade=True, index=True),
        sa.PrimaryKeyConstraint("allocation_id", "seat_id"),
    )


def downgrade() -> None:
    """Undo this revision; a table takes its indexes with it."""
    for table in (
        *("allocation_seats", "ticket_type_quotas", "seats", "price_tiers", "allocations"),
        *("ticket_types", "seat_rows", "seat_map_snapshots", "quotas", "sections"),
        *("seat_categories", "occurrences", "seat_maps", "venues", "outbox", "events"),
        "organizations",
    ):
        op.drop_table(table)
