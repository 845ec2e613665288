"""What records become in PostgreSQL: pure functions from records to rows.

A row is a tuple in the order of its table's columns in
:mod:`engine.write_behind.tables`; ids are hex text and times ms since the epoch, as
in the record, None for what has not happened.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from engine.core.ids import TICKETS_PER_ORDER_MAX, order_number, ticket_number
from engine.sale.documents import Order, Payment
from engine.write_behind.names import Names
from engine.write_behind.records import QueueEvent, Record

Row = tuple[Any, ...]

_LOW_BITS = (1 << 62) - 1
_QUEUE_COLUMNS = frozenset(("occurrence", "at", "number", "buyer"))  # the rest is the detail
_STATUS = 5  # in a ticket's row; "void" sorts after "valid"


@dataclass(slots=True)
class Rows:
    """The rows of a batch, a list a table; ``orders`` sorted by key.

    ``entries``: where in its stream an order is confirmed, for those that are.
    """

    orders: list[Row] = field(default_factory=list)
    order_lines: list[Row] = field(default_factory=list)
    tickets: list[Row] = field(default_factory=list)
    payments: list[Row] = field(default_factory=list)
    order_events: list[Row] = field(default_factory=list)
    ledger_entries: list[Row] = field(default_factory=list)
    queue_events: list[Row] = field(default_factory=list)
    entries: dict[str, str] = field(default_factory=dict)


def ticket_ids(order: str, count: int) -> list[str]:
    """Return the ids of an order's tickets: the order's own plus 1, 2, ...

    Derived, so that a repeated record makes the same tickets; valid UUIDv7 that
    sort beside their order (the version and variant bits are kept). Raises
    ``ValueError`` for more than an order can have.
    """
    if count > TICKETS_PER_ORDER_MAX:
        raise ValueError(f"order {order} has {count} tickets")
    high, low = order[:16], int(order[16:], 16)
    fixed = low & ~_LOW_BITS
    return [f"{high}{fixed | (low + nth) & _LOW_BITS:016x}" for nth in range(1, count + 1)]


def project(batch: Sequence[Record], names: Mapping[str, Names]) -> Rows:
    """Return the rows of a batch. ``names`` has an entry for every occurrence in it.

    Every record gives its history row and its postings; of several versions of
    one order only the newest gives the other rows. Raises ``ValueError`` for a
    record that makes no sense, as a :class:`StaleNamesError` when the snapshot
    has not what it names.
    """
    rows = Rows()
    newest: dict[str, Record] = {}
    posted: set[Row] = set()
    before: tuple[str, str, int] | None = None
    for record in sorted(batch, key=_key):
        if _key(record) == before:
            continue  # delivered twice in one batch
        before = _key(record)
        order = record.order
        newest[order.id] = record
        rows.order_events.append(_event(record))
        for posting in postings(record, names[order.occurrence].organization):
            key = posting[1:4]  # order, posting, account
            if key not in posted:
                posted.add(key)
                rows.ledger_entries.append(posting)
    for record in newest.values():
        add_order(rows, record.order, names[record.order.occurrence], record.entry.document)
        if record.order.state == "confirmed":
            rows.entries[record.order.id] = record.entry.id
    # a seat that was given back and sold again in one batch: void the old ticket first
    rows.tickets.sort(key=lambda row: row[_STATUS], reverse=True)
    return rows


def add_order(rows: Rows, order: Order, names: Names, document: bytes) -> None:
    """Add the rows that one version of an order makes by itself.

    Raises ``ValueError`` for an order that makes no sense.
    """
    rows.orders.append(_order(order, names.organization, document))
    rows.order_lines += _lines(order, names)
    if order.payment is not None and order.state != "pending":
        rows.payments.append(_payment(order, order.payment))
    if order.confirmed_at:
        rows.tickets += _tickets(order, names)


def queue_rows(events: Iterable[QueueEvent]) -> list[Row]:
    """Return the rows of waiting rooms' records, sorted by key.

    Members that this version does not know are kept. Raises ``ValueError`` for
    a document that is no map.
    """
    return sorted(map(_queue_row, events), key=lambda row: row[:2])


def _queue_row(event: QueueEvent) -> Row:
    record, entry = event.record, event.entry
    members = msgspec.msgpack.decode(entry.document, type=dict[str, Any])
    detail = {name: value for name, value in members.items() if name not in _QUEUE_COLUMNS}
    return (
        record.occurrence,
        entry.id,
        event.kind,
        record.at,
        record.number or None,
        record.buyer or None,
        msgspec.json.encode(detail).decode(),
    )


def _key(record: Record) -> tuple[str, str, int]:
    order = record.order
    return order.occurrence, order.id, order.version


def _order(order: Order, organization: str, document: bytes) -> Row:
    return (
        order.occurrence,
        order.id,
        organization,
        order_number(order.shard, order.sequence, order.placed_at),
        order.shard,
        order.sequence,
        order.version,
        order.state,
        order.buyer,
        order.hold,
        order.email,
        order.name,
        order.currency,
        order.subtotal,
        order.discount,
        order.platform_fee,
        order.payment_fee,
        order.tax,
        order.total,
        order.pay_by,
        order.placed_at,
        order.confirmed_at or None,
        order.cancelled_at or None,
        order.changed_at or order.placed_at,
        order.cancel_reason,
        document,
    )


def _lines(order: Order, names: Names) -> Iterable[Row]:
    for position, line in enumerate(order.lines):
        ticket_type, tier = names.price(line.type, line.tier)
        yield (
            order.occurrence,
            order.id,
            position,
            ticket_type,
            tier,
            line.quantity,
            line.price,
        )


def _payment(order: Order, payment: Payment) -> Row:
    return (
        order.occurrence,
        order.id,
        order.version,
        payment.provider,
        payment.intent,
        payment.captured,
        payment.owed,
        payment.refunding,
        payment.refunded + payment.elsewhere,
        payment.refund_state,
        payment.refund_reason,
        payment.refund_id,
        payment.tries,
        payment.failure,
        payment.dispute,
        payment.withdrawn,
        sum(other.captured for other in payment.others),
        sum(other.owed for other in payment.others),
    )


def _tickets(order: Order, names: Names) -> list[Row]:
    rows: list[Row] = []
    ids = ticket_ids(order.id, sum(line.quantity for line in order.lines))
    status = "valid" if order.state == "confirmed" else "void"
    attendees = order.attendees
    for line in order.lines:
        code = names.price(line.type, line.tier)[0]
        seats = line.seats
        if seats and len(seats) != 2 * line.quantity:
            raise ValueError(
                f"order {order.id} has {len(seats) // 2} seats for {line.quantity} tickets"
            )
        for nth in range(line.quantity):
            guid, section, row, seat = (
                names.seat(seats[2 * nth], seats[2 * nth + 1]) if seats else _NO_SEAT
            )
            index = len(rows)
            rows.append(
                (
                    order.occurrence,
                    order.id,
                    ids[index],
                    order.version,
                    ticket_number(order.shard, order.sequence, index),
                    status,
                    code,
                    line.price,
                    guid,
                    section,
                    row,
                    seat,
                    attendees[index] if index < len(attendees) else order.name,
                    order.confirmed_at,
                )
            )
    return rows


_NO_SEAT = (None, None, None, None)


def _event(record: Record) -> Row:
    order = record.order
    payment = order.payment
    return (
        order.occurrence,
        order.id,
        order.version,
        record.kind,
        order.state,
        order.cancel_reason,
        payment.captured if payment else 0,
        payment.refund if payment else 0,
        payment.refund_state if payment else "",
        record.entry.id,
        order.changed_at or order.placed_at,
    )


def postings(record: Record, organization: str) -> list[Row]:
    """Return the ledger entries of one record; each posting's sum to zero (possibly none).

    What an order can have once is named after what happened, and repeated
    without harm. What went back or was withdrawn is posted as it moves, named
    after the version of the order that moved it: a refund that fails is a
    movement the other way.
    """
    order, payment = record.order, record.order.payment
    if record.kind == "order.confirmed":
        return _posting(order, "sale", _sale(order), organization)
    if payment is None or record.kind == "order.placed":
        return []
    rows: list[Row] = []
    for name, sides in _standing(order, payment):
        rows += _posting(order, name, sides, organization)
    moved = [*payment.moved, 0, 0, 0, 0]
    for name, sides in _movements(*moved[:4]):
        rows += _posting(order, f"{name} {order.version}", sides, organization)
    return rows


def all_postings(order: Order, organization: str) -> list[Row]:
    """Return what the ledger has of an order in this state, whatever its way to it was.

    Movements of one name are added up, without their versions.
    """
    rows = _posting(order, "sale", _sale(order), organization) if order.confirmed_at else []
    payment = order.payment
    if payment is None:
        return rows
    for name, sides in _standing(order, payment):
        rows += _posting(order, name, sides, organization)
    money = payment.everything
    for name, sides in _movements(
        sum(other.captured for other in payment.others),
        sum(item.refunded + item.refunding for item in money),
        sum(item.withdrawn for item in money),
        sum(item.elsewhere for item in money),
    ):
        rows += _posting(order, name, sides, organization)
    return rows


def _standing(order: Order, payment: Payment) -> Iterable[tuple[str, dict[str, int]]]:
    """Yield the postings that an order has once, beside its sale."""
    if order.confirmed_at:
        if order.state == "refunded":
            yield "reversal", _reversal(order)
    elif payment.captured:
        yield "receipt", {"provider_clearing": payment.captured, "refunds": -payment.captured}


def _movements(
    received: int, given_back: int, withdrawn: int, elsewhere: int
) -> Iterable[tuple[str, dict[str, int]]]:
    yield "other_receipt", {"provider_clearing": received, "refunds": -received}
    yield "refund", {"refunds": given_back, "provider_clearing": -given_back}
    yield "dispute", {"disputes": withdrawn, "provider_clearing": -withdrawn}
    yield "elsewhere", {"refunds": elsewhere, "other_means": -elsewhere}


def _posting(order: Order, name: str, sides: Mapping[str, int], organization: str) -> list[Row]:
    at = order.changed_at or order.placed_at
    return [
        (order.occurrence, order.id, name, account, organization, amount, order.currency, at)
        for account, amount in sides.items()
        if amount
    ]


def _sale(order: Order) -> dict[str, int]:
    return {
        "provider_clearing": order.total,
        "organizer_payable": order.discount - order.subtotal,
        "platform_fees": -order.platform_fee,
        "payment_fees": -order.payment_fee,
        "tax_payable": -order.tax,
    }


def _reversal(order: Order) -> dict[str, int]:
    sides = {account: -amount for account, amount in _sale(order).items()}
    del sides["provider_clearing"]  # the money is still there
    return {**sides, "refunds": -order.total}
