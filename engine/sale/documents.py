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
    "refunded",  # seats returned; payment.refund_state tells of the money
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


RefundState = Literal[
    "",  # nothing is to go back, and nothing has
    "owed",  # it is to be asked for
    "pending",  # it is on its way, or the buyer's bank has it while it decides
    "done",  # it is back
    "failed",  # refund after refund came to nothing: a person must look
]
DisputeState = Literal[
    "",
    "inquiry",  # the bank asks; no money has moved
    "open",  # the bank has taken the money back, and decides
    "won",  # the money was left, or came back
    "lost",  # the money is the buyer's again
]


class Money(msgspec.Struct, kw_only=True, gc=False, omit_defaults=True):
    """The money of one of the provider's intents, as the provider last told of it.

    Amounts are minor units. ``captured`` was taken, ``refund`` of it is to go
    back in all: by refunds of the provider (``refunded`` have arrived,
    ``refunding`` are on their way and may fail), ``elsewhere``, or as the
    buyer's bank takes it (``withdrawn``, by a dispute). ``tries``: refunds that
    failed or were refused, after ``tries_until`` of them (0: five) a person must
    look; ``failed``: those that the provider tells of; ``failure``: why the last
    one came to nothing. Members that are 0 or empty are left out of the document.
    """

    intent: str = msgspec.field(default_factory=str)  # the provider's id; always written
    captured: int = 0
    refund: int = 0
    refunded: int = 0
    refunding: int = 0
    elsewhere: int = 0
    elsewhere_note: str = ""
    withdrawn: int = 0
    dispute: DisputeState = ""
    refund_state: RefundState = ""
    refund_id: str = ""  # of the newest refund that has not failed
    tries: int = 0
    tries_until: int = 0
    failed: int = 0
    failure: str = ""

    @property
    def owed(self) -> int:
        """What is still to be asked for (lua/includes/money.lua)."""
        gone = self.refunded + self.refunding + self.elsewhere + self.withdrawn
        return max(0, self.refund - gone)

    @property
    def has_history(self) -> bool:
        """Whether refunds or disputes were ever seen, so that each must be asked about."""
        return bool(self.refund_state or self.failed or self.dispute)

    @property
    def is_followed(self) -> bool:
        """Whether the worker looks at it, or a person must."""
        return self.refund_state in {"owed", "pending", "failed"} or self.dispute in {
            "inquiry",
            "open",
        }


class OtherMoney(Money, kw_only=True, gc=False):
    """Money that the order did not wait for: of another intent, or in another currency."""

    currency: str


class Payment(Money, kw_only=True, gc=False):
    """The money of the order's own intent, and ``others`` that all goes back.

    ``description`` is kept until the intent is there, so that a repeated creation
    says what the first one said; ``secret``, with which the buyer's client pays,
    while the order is pending, and in no record.

    ``moved``: what the last step moved, for the ledger: captured by another
    intent, given back, withdrawn by a dispute, given back elsewhere.
    """

    provider: str
    refund_reason: str = ""
    description: str = ""
    secret: str = ""
    refusal: str = ""  # the provider's code when it refused to make the payment
    asked: int = 0  # wall-clock ms at which the turns to ask the provider are all there again
    attempts: int = 0  # to close it that failed, in a row
    moved: list[int] = []
    others: list[OtherMoney] = []

    @property
    def everything(self) -> list[Money]:
        """The money of all intents, the own one first."""
        return [self, *self.others]


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
    # "expired", "buyer", "payment_canceled", "payment_refused", "wrong_amount", "wrong_currency",
    # "wrong_payment", or "taken_back": some of its money went back before it was seen
    cancel_reason: str = ""
    changed_at: int = 0


RecordKind = Literal[
    "order.placed",
    "order.cancelling",
    "order.confirmed",
    "order.cancelled",
    "order.refund_due",
    "order.refunded",
    "order.money",  # a refund or a dispute went on, the order's state did not
]


class Record(msgspec.Struct, kw_only=True):
    """One entry of a shard's stream ``{sNN}:log``.

    In Redis the entry has two fields: ``k`` (the kind, plain text) and ``o``
    (the order after the step, msgpack). ``entry`` is the stream id.
    """

    entry: str
    kind: RecordKind
    order: Order
