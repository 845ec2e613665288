"""Orders with all that hangs on them, the ledger, the waiting rooms' history, and dead letters.

Only new tables: nothing that is in use is locked.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy import CheckConstraint as Check
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002_orders_and_ledger"
down_revision = "0001_catalogue"
branch_labels = None
depends_on = None

_STATES = "'pending', 'cancelling', 'confirmed', 'cancelled', 'refunded'"
_ACCOUNTS = (
    "'provider_clearing', 'organizer_payable', 'platform_fees', 'payment_fees', 'tax_payable',"
    " 'refunds'"
)


def _uuid(name: str, *, key: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Uuid(), primary_key=key, nullable=False)


def _text(name: str, *, nullable: bool = False, key: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), nullable=nullable, primary_key=key)


def _amount(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def _count(name: str, *, key: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.Integer(), nullable=False, primary_key=key)


def _time(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    """Make the tables."""
    _orders()
    _of_orders()
    op.create_table(
        "ledger_entries",
        _uuid("occurrence_id", key=True),
        _uuid("order_id", key=True),
        _text("posting", key=True),
        _text("account", key=True),
        _uuid("organization_id"),
        _amount("amount"),
        _text("currency"),
        _time("posted_at"),
        Check(f"account IN ({_ACCOUNTS})", name="account"),
        Check("amount <> 0", name="amount"),
    )
    op.create_table(
        "queue_events",
        sa.Column("occurrence_id", sa.Uuid(), sa.ForeignKey("occurrences.id"), primary_key=True),
        _text("entry", key=True),
        _text("kind"),
        _time("happened_at"),
        sa.Column("number", sa.BigInteger(), nullable=True),
        _text("buyer", nullable=True),
        sa.Column("detail", JSONB(), nullable=False),
        Check("number >= 1", name="number_range"),
    )
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.Uuid(), primary_key=True, server_default=sa.text("uuidv7()")),
        _text("stream"),
        _text("entry"),
        _text("kind"),
        sa.Column("record", sa.LargeBinary(), nullable=False),
        _text("error"),
        sa.Column("attempts", sa.Integer(), server_default="1", nullable=False),
        sa.Column(
            "parked_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        _time("replayed_at", nullable=True),
        sa.UniqueConstraint("stream", "entry"),
    )
    op.create_index(
        "ix_dead_letters_waiting",
        "dead_letters",
        ["parked_at"],
        postgresql_where=sa.text("replayed_at IS NULL"),
    )


def _orders() -> None:
    op.create_table(
        "orders",
        sa.Column("occurrence_id", sa.Uuid(), sa.ForeignKey("occurrences.id"), primary_key=True),
        _uuid("id", key=True),
        _uuid("organization_id"),
        _text("number"),
        sa.Column("shard", sa.SmallInteger(), nullable=False),
        _amount("sequence"),
        _count("version"),
        _text("state"),
        _text("buyer"),
        _uuid("hold_id"),
        _text("email"),
        _text("name"),
        _text("currency"),
        _amount("subtotal"),
        _amount("discount"),
        _amount("platform_fee"),
        _amount("payment_fee"),
        _amount("tax"),
        _amount("total"),
        _amount("pay_by_ms"),
        _time("placed_at"),
        _time("confirmed_at", nullable=True),
        _time("cancelled_at", nullable=True),
        _time("changed_at"),
        _text("cancel_reason"),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        Check(f"state IN ({_STATES})", name="state"),
        Check("total = subtotal - discount + platform_fee + payment_fee + tax", name="total"),
        Check("discount BETWEEN 0 AND subtotal", name="discount"),
        postgresql_with={"fillfactor": "60"},
    )
    op.create_index(None, "orders", ["number"])
    op.create_index(None, "orders", ["buyer"])


def _of_orders() -> None:
    op.create_table(
        "order_lines",
        _uuid("occurrence_id", key=True),
        _uuid("order_id", key=True),
        sa.Column("position", sa.SmallInteger(), primary_key=True, nullable=False),
        _text("ticket_type"),
        _text("tier"),
        _count("quantity"),
        _amount("price"),
        Check("quantity > 0", name="quantity"),
        Check("price >= 0", name="price"),
    )
    op.create_table(
        "tickets",
        _uuid("occurrence_id", key=True),
        _uuid("order_id"),
        _uuid("id", key=True),
        _count("version"),
        _text("number"),
        _text("status"),
        _text("ticket_type"),
        _amount("price"),
        _text("seat_guid", nullable=True),
        _text("section", nullable=True),
        _text("row", nullable=True),
        _text("seat", nullable=True),
        _text("attendee"),
        _time("issued_at"),
        Check("status IN ('valid', 'void')", name="status"),
    )
    op.create_index(None, "tickets", ["occurrence_id", "order_id"])
    op.create_index(None, "tickets", ["number"])
    op.create_index(
        "uq_tickets_live_seat",
        "tickets",
        ["occurrence_id", "seat_guid"],
        unique=True,
        postgresql_where=sa.text("status = 'valid' AND seat_guid IS NOT NULL"),
    )
    op.create_table(
        "payments",
        _uuid("occurrence_id", key=True),
        _uuid("order_id", key=True),
        _count("version"),
        _text("provider"),
        _text("intent"),
        _amount("captured"),
        _amount("refund_due"),
        _amount("refunded"),
        _text("refund_reason"),
        _text("refund_id"),
        Check("captured >= 0 AND refund_due >= 0 AND refunded >= 0", name="amounts"),
        postgresql_with={"fillfactor": "60"},
    )
    op.create_index(None, "payments", ["intent"])
    op.create_table(
        "order_events",
        _uuid("occurrence_id", key=True),
        _uuid("order_id", key=True),
        _count("version", key=True),
        _text("kind"),
        _text("state"),
        _text("reason"),
        _amount("captured"),
        _amount("refund"),
        _text("entry"),
        _time("happened_at"),
    )


def downgrade() -> None:
    """Undo this revision; a table takes its indexes with it."""
    for table in (
        *("dead_letters", "queue_events", "ledger_entries", "order_events", "payments"),
        *("tickets", "order_lines", "orders"),
    ):
        op.drop_table(table)
