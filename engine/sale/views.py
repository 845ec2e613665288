"""Holds and orders as their buyer sees them.

Amounts are minor units of ``currency``; times RFC 3339; ``*_in_ms`` counts down
from the answer, so that a buyer's wrong clock does no harm. While the sale is
paused the countdowns stand still.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from engine.core.ids import order_number, ticket_number
from engine.core.times import rfc3339
from engine.sale.documents import (
    DisputeState,
    Hold,
    Line,
    Money,
    Order,
    OrderState,
    RefundState,
)
from engine.sale.inventory.occurrences import Published, SeatView

_MOST_URGENT: tuple[RefundState, ...] = ("failed", "owed", "pending", "done")


class LineView(msgspec.Struct, kw_only=True, gc=False):
    """``quantity`` tickets at ``unit_price`` each; the price is locked."""

    ticket_type: str
    name: str
    tier: str
    quantity: int
    unit_price: int
    amount: int
    seats: list[SeatView]


class HoldView(msgspec.Struct, kw_only=True, gc=False):
    """A buyer's cart. ``latest_expires_at``: no extension goes beyond it."""

    id: str
    occurrence: str
    state: Literal["held"]
    version: int
    created_at: str
    expires_at: str
    expires_in_ms: int
    latest_expires_at: str
    lines: list[LineView]
    subtotal: int
    currency: str


class TicketView(msgspec.Struct, kw_only=True):
    """A ticket of a confirmed order."""

    number: str
    ticket_type: str
    attendee: str
    seat: SeatView | None


class OrderView(msgspec.Struct, kw_only=True):
    """An order; ``tickets`` once it is confirmed.

    ``captured``: all that was ever taken for it. Of it ``refund_due`` will be
    given back, ``refunding`` is on its way, ``refunded`` is back. ``dispute``:
    how the bank's request for the money stands, empty when there was none.
    """

    id: str
    number: str
    occurrence: str
    state: OrderState
    version: int
    placed_at: str
    pay_by: str | None
    pay_in_ms: int | None
    confirmed_at: str | None
    cancelled_at: str | None
    cancel_reason: str
    email: str
    name: str
    lines: list[LineView]
    tickets: list[TicketView]
    currency: str
    subtotal: int
    discount: int
    platform_fee: int
    payment_fee: int
    tax: int
    total: int
    captured: int
    refund_state: RefundState
    refund_due: int
    refunding: int
    refunded: int
    dispute: DisputeState


class PaymentView(msgspec.Struct, kw_only=True):
    """What the buyer's own client needs to pay exactly this order at the provider."""

    provider: str
    publishable_key: str
    client_secret: str
    intent: str
    amount: int
    currency: str


class CheckoutView(msgspec.Struct, kw_only=True):
    """The order, and how to pay it; ``payment`` is null when there is nothing to pay (any more)."""

    order: OrderView
    payment: PaymentView | None


def _line(published: Published, line: Line) -> LineView:
    kind = published.snapshot.ticket_types[line.type]
    seats = line.seats
    views = published.seat_views
    return LineView(
        ticket_type=kind.code,
        name=kind.name,
        tier=kind.tiers[line.tier].name,
        quantity=line.quantity,
        unit_price=line.price,
        amount=line.price * line.quantity,
        seats=[views[section][at] for section, at in zip(seats[::2], seats[1::2], strict=True)],
    )


def hold_view(published: Published, hold: Hold, now: int, wall: int) -> HoldView:
    """Return the view. ``now``: sale-clock ms, ``wall``: wall-clock ms of the same moment."""
    lines = [_line(published, line) for line in hold.lines]
    offset = wall - now
    subtotal = 0
    for line in lines:
        subtotal += line.amount
    return HoldView(
        id=hold.id,
        occurrence=published.snapshot.occurrence,
        state="held",
        version=hold.version,
        created_at=rfc3339(hold.created + offset),
        expires_at=rfc3339(hold.expires + offset),
        expires_in_ms=max(hold.expires - now, 0),
        latest_expires_at=rfc3339(hold.created + published.snapshot.hold_ttl_ms_max + offset),
        lines=lines,
        subtotal=subtotal,
        currency=published.snapshot.currency,
    )


def order_view(published: Published, order: Order, now: int, wall: int) -> OrderView:
    """Return the view. ``now``: sale-clock ms, ``wall``: wall-clock ms of the same moment."""
    lines = [_line(published, line) for line in order.lines]
    pending = order.state == "pending"
    payment = order.payment
    all_money: list[Money] = [payment] if payment else []
    if payment:
        all_money += [
            other for other in payment.others if other.currency.upper() == order.currency.upper()
        ]
    states = {money.refund_state for money in all_money}
    return OrderView(
        id=order.id,
        number=order_number(order.shard, order.sequence, order.placed_at),
        occurrence=order.occurrence,
        state=order.state,
        version=order.version,
        placed_at=rfc3339(order.placed_at),
        pay_by=rfc3339(order.pay_by + wall - now) if pending else None,
        pay_in_ms=max(order.pay_by - now, 0) if pending else None,
        confirmed_at=rfc3339(order.confirmed_at) if order.confirmed_at else None,
        cancelled_at=rfc3339(order.cancelled_at) if order.cancelled_at else None,
        cancel_reason=order.cancel_reason,
        email=order.email,
        name=order.name,
        lines=lines,
        tickets=_tickets(order, lines) if order.state == "confirmed" else [],
        currency=order.currency,
        subtotal=order.subtotal,
        discount=order.discount,
        platform_fee=order.platform_fee,
        payment_fee=order.payment_fee,
        tax=order.tax,
        total=order.total,
        captured=sum(money.captured for money in all_money),
        refund_state=next((state for state in _MOST_URGENT if state in states), ""),
        refund_due=sum(money.owed for money in all_money),
        refunding=sum(money.refunding for money in all_money),
        refunded=sum(money.refunded + money.elsewhere for money in all_money),
        dispute=payment.dispute if payment else "",
    )


def _tickets(order: Order, lines: list[LineView]) -> list[TicketView]:
    found: list[TicketView] = []
    for line in lines:
        for i in range(line.quantity):
            index = len(found)
            found.append(
                TicketView(
                    number=ticket_number(order.shard, order.sequence, index),
                    ticket_type=line.ticket_type,
                    attendee=order.attendees[index] if index < len(order.attendees) else "",
                    seat=line.seats[i] if line.seats else None,
                )
            )
    return found


def payment_view(order: Order, publishable_key: str) -> PaymentView | None:
    """Return what the buyer's client needs to pay the order; None when it is not to be paid."""
    payment = order.payment
    if order.state != "pending" or payment is None or not (payment.intent and payment.secret):
        return None
    return PaymentView(
        provider=payment.provider,
        publishable_key=publishable_key,
        client_secret=payment.secret,
        intent=payment.intent,
        amount=order.total,
        currency=order.currency,
    )
