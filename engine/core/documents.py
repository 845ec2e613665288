"""The documents that Lua writes and Python reads: holds, orders, stream records.

They are msgpack maps; the field names here are the keys in Lua. Lines name
ticket types and tiers by their index in the snapshot, seats by section index
and position (zero-based byte offset in the section's string).
"""

from __future__ import annotations

from typing import Literal

import msgspec

OrderState = Literal[
    "pending",  # placed, waiting for the money; its seats are kept
    "cancelling",  # being cancelled at the provider; its seats are still kept
    "confirmed",  # paid for (or free): tickets
    "cancelled",  # seats returned
    "refunded",  # money given back in full
]


class Line(msgspec.Struct, kw_only=True, gc=False):
    """``quantity`` tickets of type ``type`` at ``price`` each (tier ``tier``).

    ``seats``: section, position, section, position, ... (empty for general
    admission).
    """

    type: int
    tier: int
    price: int
    quantity: int
    seats: list[int] = []


class Hold(msgspec.Struct, kw_only=True, gc=False):
    """A buyer's cart. Times are sale-clock ms; ``version`` grows with every change."""

    id: str
    buyer: str
    version: int
    created: int
    expires: int
    lines: list[Line]


class Payment(msgspec.Struct, kw_only=True, gc=False):
    """What is known of an order's payment. ``intent`` is the provider's id.

    ``description`` is kept until the intent is there, so that a repeated creation
    says what the first one said; ``secret``, with which the buyer's client pays,
    while the order is pending, and in no record.
    """

    provider: str
    intent: str = ""
    captured: int = 0  # minor units that the provider says were taken
    refund: int = 0  # minor units that are owed back
    refund_reason: str = ""
    refund_id: str = ""  # the provider's id, once given back
    description: str = ""
    secret: str = ""
    failure: str = ""  # the provider's code when it refused to make the payment
    asked: int = 0  # wall-clock ms at which the turns to ask the provider are all there again
    attempts: int = 0  # to close it that failed, in a row


class Order(msgspec.Struct, kw_only=True, gc=False):
    """An order as the hot plane keeps it and as every record carries it.

    ``version`` grows by one with every change, so a projection takes a record
    only if it is newer than what it has. ``*_at``: wall-clock ms since the
    epoch, 0 when it has not happened. ``pay_by``: sale-clock ms.
    """

    id: str
    occurrence: str
    shard: int
    sequence: int
    buyer: str
    hold: str
    state: OrderState
    version: int
    currency: str
    lines: list[Line]
    subtotal: int
    discount: int
    platform_fee: int
    payment_fee: int
    tax: int
    total: int
    placed_at: int
    pay_by: int
    email: str = ""
    name: str = ""
    attendees: list[str] = []  # one name a ticket, in line order; may be shorter
    payment: Payment | None = None
    confirmed_at: int = 0
    cancelled_at: int = 0
    cancel_reason: str = ""  # "expired", "buyer", "payment_canceled", "payment_refused"
    changed_at: int = 0


RecordKind = Literal[
    "order.placed",
    "order.cancelling",
    "order.confirmed",
    "order.cancelled",
    "order.refund_due",
    "order.refunded",
]


class Record(msgspec.Struct, kw_only=True):
    """One entry of a shard's stream ``{sNN}:log``.

    In Redis the entry has two fields: ``k`` (the kind, plain text) and ``o``
    (the order after the step, msgpack). ``entry`` is the stream id.
    """

    entry: str
    kind: RecordKind
    order: Order
