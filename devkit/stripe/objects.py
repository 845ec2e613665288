"""What the look-alike remembers: only what differs between objects of a kind.

The full JSON that the API shows is made in :mod:`devkit.stripe.render`.
Times are seconds since the epoch, amounts minor units. The structs are also
the journal's format; ``is`` tells them apart there.
"""

from __future__ import annotations

from typing import Literal

import msgspec

IntentStatus = Literal[
    "requires_payment_method",
    "requires_confirmation",
    "requires_action",
    "processing",
    "requires_capture",
    "succeeded",
    "canceled",
]


RefundStatus = Literal["pending", "requires_action", "succeeded", "failed", "canceled"]


class _Item(msgspec.Struct, kw_only=True, tag_field="is"):
    id: str
    created: int


# A value of its own kind: JSON that is kept as it is cannot be optional.
NO_ERROR = msgspec.Raw(b"null")


class Intent(_Item, kw_only=True, tag="intent"):
    """A PaymentIntent. ``error``: the last one; ``challenge``: token of the 3-D Secure page."""

    amount: int
    currency: str
    client_secret: str
    status: IntentStatus = "requires_payment_method"
    capture_method: str = "automatic_async"
    types: list[str] = []
    automatic: bool = True
    description: str | None = None
    receipt_email: str | None = None
    descriptor_suffix: str | None = None
    metadata: dict[str, str] = {}
    method: str | None = None
    charges: list[str] = []
    refunds: list[str] = []
    amount_received: int = 0
    amount_capturable: int = 0
    canceled_at: int | None = None
    cancellation_reason: str | None = None
    error: msgspec.Raw = NO_ERROR
    challenge: str = ""
    return_url: str | None = None


class Charge(_Item, kw_only=True, tag="charge"):
    """One attempt to take an intent's money."""

    intent: str
    method: str
    amount: int
    currency: str
    status: Literal["succeeded", "pending", "failed"]
    captured: bool
    metadata: dict[str, str] = {}
    description: str | None = None
    receipt_email: str | None = None
    amount_captured: int = 0
    amount_refunded: int = 0
    failure_code: str | None = None
    failure_message: str | None = None
    decline_code: str | None = None
    disputed: bool = False


class Method(_Item, kw_only=True, tag="method"):
    """A PaymentMethod; ``card`` is a name in :data:`devkit.stripe.cards.BY_NAME`."""

    card: str
    exp_month: int
    exp_year: int
    metadata: dict[str, str] = {}


class Refund(_Item, kw_only=True, tag="refund"):
    """Money given back of one charge."""

    intent: str
    charge: str
    amount: int
    currency: str
    status: RefundStatus
    reason: str | None = None
    failure_reason: str | None = None
    metadata: dict[str, str] = {}


class Dispute(_Item, kw_only=True, tag="dispute"):
    """A buyer's bank takes a charge back."""

    intent: str
    charge: str
    amount: int
    currency: str
    status: str = "needs_response"
    reason: str = "fraudulent"


class Event(_Item, kw_only=True, tag="event"):
    """What happened: ``data`` is the object as it was then, as JSON.

    ``pending``: a webhook endpoint was set for it, so it is delivered also
    after a restart.
    """

    kind: str
    data: msgspec.Raw
    request: str
    key: str | None
    pending: bool


Item = Intent | Charge | Method | Refund | Dispute | Event


class SavedAnswer(msgspec.Struct, kw_only=True):
    """The first answer to a request with an idempotency key, and the request's digest."""

    key: str
    digest: str
    status: int
    body: msgspec.Raw
    request: str
