"""Orders and what hangs on them: lines, tickets, payments and the history.

The write-behind makes every row from the records of the hot plane
(:mod:`engine.write_behind`); the control plane reads them. What hangs on an order
has no foreign key to it: one writer makes all of an order's rows in one
transaction, and the audit finds a row whose order is not there
(docs/adr/0004). Every primary key begins with the occurrence and no unique
index lacks it, so each table can become ``PARTITION BY LIST/HASH
(occurrence_id)`` without another key. Order and ticket numbers are therefore
indexed but not declared unique: they are a bijection of (shard, sequence,
index), so they are unique by construction (:mod:`engine.core.ids`).
"""

from __future__ import annotations

import uuid

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    SmallInteger,
    Text,
    Uuid,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from engine.platform.postgres.base import Amount, Base, Moment


class Order(Base):
    """The newest version of an order.

    The columns are what people search, sum and join by. ``document`` is the
    order as the hot plane keeps it (msgpack of
    :class:`engine.sale.documents.Order`), byte for byte: the Redis side is
    rebuilt from it without translating names back into indexes, and a field
    that has no column yet is kept all the same.
    """

    __tablename__ = "orders"
    __table_args__ = (
        CheckConstraint(
            "state IN ('pending', 'cancelling', 'confirmed', 'cancelled', 'refunded')",
            name="state",
        ),
        CheckConstraint(
            "total = subtotal - discount + platform_fee + payment_fee + tax", name="total"
        ),
        CheckConstraint("discount BETWEEN 0 AND subtotal", name="discount"),
        Index(None, "number"),
        Index(None, "buyer"),
        # pending -> confirmed changes no indexed column: with room in the page
        # the second version is a heap-only update, which touches no index
        {"postgresql_with": {"fillfactor": "60"}},
    )

    occurrence_id: Mapped[uuid.UUID] = mapped_column(
        Uuid, ForeignKey("occurrences.id"), primary_key=True
    )
    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    organization_id: Mapped[uuid.UUID]  # the occurrence's own; repeated to reach rows through it
    number: Mapped[str] = mapped_column(Text)
    shard: Mapped[int] = mapped_column(SmallInteger)
    sequence: Mapped[int] = mapped_column(BigInteger)
    version: Mapped[int]
    state: Mapped[str] = mapped_column(Text)
    buyer: Mapped[str] = mapped_column(Text)
    hold_id: Mapped[uuid.UUID]
    email: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    currency: Mapped[str] = mapped_column(Text)
    subtotal: Mapped[Amount]
    discount: Mapped[Amount]
    platform_fee: Mapped[Amount]
    payment_fee: Mapped[Amount]
    tax: Mapped[Amount]
    total: Mapped[Amount]
    pay_by_ms: Mapped[int] = mapped_column(BigInteger)  # sale clock
    placed_at: Mapped[Moment]
    confirmed_at: Mapped[Moment | None]
    cancelled_at: Mapped[Moment | None]
    changed_at: Mapped[Moment]
    cancel_reason: Mapped[str] = mapped_column(Text)
    document: Mapped[bytes] = mapped_column(LargeBinary)


class OrderLine(Base):
    """Tickets of one type at one price; never changes after the order was placed."""

    __tablename__ = "order_lines"
    __table_args__ = (
        CheckConstraint("quantity > 0", name="quantity"),
        CheckConstraint("price >= 0", name="price"),
    )

    occurrence_id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    order_id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    position: Mapped[int] = mapped_column(SmallInteger, primary_key=True)  # from 0
    ticket_type: Mapped[str] = mapped_column(Text)  # code
    tier: Mapped[str] = mapped_column(Text)  # code
    quantity: Mapped[int]
    price: Mapped[Amount]  # of one ticket


class Ticket(Base):
    """The right to one seat, or to stand; made when the order is confirmed, void when refunded.

    The seat's names are frozen here as the snapshot had them. The partial
    unique index is the last line of defence against selling a seat twice: the
    ticket of whoever had the seat before becomes void with the new one at the
    latest (docs/adr/0013).
    """

    __tablename__ = "tickets"
    __table_args__ = (
        CheckConstraint("status IN ('valid', 'void')", name="status"),
        Index(None, "occurrence_id", "order_id"),
        Index(None, "number"),
        Index(
            "uq_tickets_live_seat",
            "occurrence_id",
            "seat_guid",
            unique=True,
            postgresql_where=text("status = 'valid' AND seat_guid IS NOT NULL"),
        ),
    )

    occurrence_id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    order_id: Mapped[uuid.UUID]
    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)  # derived from the order's
    version: Mapped[int]  # of the order that gave it this status
    number: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text)
    ticket_type: Mapped[str] = mapped_column(Text)  # code
    price: Mapped[Amount]
    seat_guid: Mapped[str | None] = mapped_column(Text)  # None: general admission
    section: Mapped[str | None] = mapped_column(Text)
    row: Mapped[str | None] = mapped_column(Text)
    seat: Mapped[str | None] = mapped_column(Text)
    attendee: Mapped[str] = mapped_column(Text)
    issued_at: Mapped[Moment]


class Payment(Base):
    """What is known of the money of an order. One row an order: it has one intent.

    Made when the order leaves ``pending``; before that nothing is known. Money
    of other intents, all of which goes back, is summed up in ``others_*``; the
    order's document has each of them.
    """

    __tablename__ = "payments"
    __table_args__ = (
        CheckConstraint("captured >= 0 AND refund_due >= 0 AND refunded >= 0", name="amounts"),
        CheckConstraint(
            "refunding >= 0 AND withdrawn >= 0 AND others_captured >= 0 AND others_due >= 0",
            name="more_amounts",
        ),
        CheckConstraint(
            "refund_state IN ('', 'owed', 'pending', 'done', 'failed')", name="refund_state"
        ),
        CheckConstraint("dispute IN ('', 'inquiry', 'open', 'won', 'lost')", name="dispute"),
        Index(None, "intent"),
        {"postgresql_with": {"fillfactor": "60"}},  # as for orders
    )

    occurrence_id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    order_id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    version: Mapped[int]  # of the order
    provider: Mapped[str] = mapped_column(Text)
    intent: Mapped[str] = mapped_column(Text)  # the provider's id; empty until it is known
    captured: Mapped[Amount]
    refund_due: Mapped[Amount]  # owed to the buyer and still to be asked for
    refunding: Mapped[Amount]  # asked for, on its way
    refunded: Mapped[Amount]
    refund_state: Mapped[str] = mapped_column(Text)  # engine.sale.documents.RefundState
    refund_reason: Mapped[str] = mapped_column(Text)
    refund_id: Mapped[str] = mapped_column(Text)  # the provider's id
    refund_tries: Mapped[int]  # refunds that came to nothing
    refund_failure: Mapped[str] = mapped_column(Text)  # why the last one did
    dispute: Mapped[str] = mapped_column(Text)  # engine.sale.documents.DisputeState
    withdrawn: Mapped[Amount]  # by a dispute that is open or lost
    others_captured: Mapped[Amount]
    others_due: Mapped[Amount]


class OrderEvent(Base):
    """One step of an order's history; rows are added and never changed."""

    __tablename__ = "order_events"

    occurrence_id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    order_id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(Text)  # engine.sale.documents.RecordKind
    state: Mapped[str] = mapped_column(Text)  # after the step
    reason: Mapped[str] = mapped_column(Text)
    captured: Mapped[Amount]
    refund: Mapped[Amount]
    refund_state: Mapped[str] = mapped_column(Text)
    entry: Mapped[str] = mapped_column(Text)  # the record's id in its shard's stream
    happened_at: Mapped[Moment]
