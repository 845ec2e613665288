"""The parts of Stripe's objects that matter here, and what they mean to the sale."""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeVar

import msgspec

from engine.core.ids import is_id
from engine.payments import provider
from engine.payments.errors import PaymentRefusedError, PaymentUnavailableError
from engine.payments.provider import Funds, Intent, IntentStatus, WebhookEvent
from engine.sale.documents import DisputeState

T = TypeVar("T")

MONEY_EVENTS = (
    "charge.refunded",
    "charge.refund.updated",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
)
"""What happens to money after it was captured (https://docs.stripe.com/api/events/types)."""

_STATUS: dict[str, IntentStatus] = {
    "processing": "processing",
    "succeeded": "succeeded",
    "canceled": "canceled",
}  # the others can still be paid or cancelled: "open"
_REFUND_STATUS: dict[str, Literal["succeeded", "failed"]] = {
    "succeeded": "succeeded",
    "failed": "failed",
    "canceled": "failed",
}  # the others (pending, requires_action) may still succeed: "pending"
# https://docs.stripe.com/api/disputes/object: an inquiry ("warning_...") moves no money, every
# other takes it at once (charge.dispute.funds_withdrawn), and brings it back when it is won.
_DISPUTES: dict[str, DisputeState] = {
    "warning_needs_response": "inquiry",
    "warning_under_review": "inquiry",
    "warning_closed": "won",
    "prevented": "won",
    "won": "won",
    "lost": "lost",
}  # the others (needs_response, under_review, and what is not known yet): "open"
_WORST: tuple[DisputeState, ...] = ("open", "lost", "inquiry", "won")


class PaymentError(msgspec.Struct):
    """Why the last attempt failed."""

    code: str | None = None
    decline_code: str | None = None


class Charge(msgspec.Struct):
    """One attempt to take the money; a copy of the intent's metadata is on it."""

    id: str
    amount: int
    currency: str
    amount_captured: int
    amount_refunded: int
    payment_intent: str | None = None
    disputed: bool = False
    metadata: dict[str, str] = {}

    @property
    def given_back(self) -> int:
        """What went back of what was taken.

        What a partial capture let go counts as refunded at Stripe, but was never taken.
        """
        return max(0, self.amount_refunded - max(0, self.amount - self.amount_captured))

    def intent(self) -> Intent | None:
        """Return the intent as far as a charge that was captured tells."""
        if self.payment_intent is None or not _is_ours(self.metadata):
            return None
        return Intent(
            id=self.payment_intent,
            order=self.metadata["order"],
            occurrence=self.metadata["occurrence"],
            status="succeeded",
            amount=self.amount,
            currency=self.currency.upper(),
            captured=self.amount_captured,
            refunded=self.given_back,
            disputed=self.disputed,
            installation=self.metadata.get("installation", ""),
        )


class PaymentIntent(msgspec.Struct):
    """A payment under way."""

    id: str
    amount: int
    currency: str
    status: str
    amount_received: int = 0
    client_secret: str | None = None
    metadata: dict[str, str] = {}
    latest_charge: Charge | str | None = None
    last_payment_error: PaymentError | None = None

    def intent(self) -> Intent | None:
        """Return the intent, None when it was not made for an order."""
        if not _is_ours(self.metadata):
            return None
        problem = self.last_payment_error or PaymentError()
        charge = self.latest_charge
        return Intent(
            id=self.id,
            order=self.metadata["order"],
            occurrence=self.metadata["occurrence"],
            status=_STATUS.get(self.status, "open"),
            amount=self.amount,
            currency=self.currency.upper(),
            captured=self.amount_received,
            refunded=charge.given_back if isinstance(charge, Charge) else 0,
            disputed=isinstance(charge, Charge) and charge.disputed,
            client_secret=self.client_secret or "",
            failure=problem.decline_code or problem.code or "",
            installation=self.metadata.get("installation", ""),
        )


class Refund(msgspec.Struct):
    """Money given back."""

    id: str
    amount: int
    payment_intent: str | None = None
    status: str | None = None
    failure_reason: str | None = None
    metadata: dict[str, str] = {}

    def refund(self) -> provider.Refund:
        """Return it in the provider's terms."""
        return provider.Refund(
            id=self.id,
            intent=self.payment_intent or "",
            amount=self.amount,
            status=_REFUND_STATUS.get(self.status or "", "pending"),
            failure=self.failure_reason or (self.status or "") * (self.status == "canceled"),
        )


class Dispute(msgspec.Struct):
    """A buyer's bank asks for a charge's money back, or takes it."""

    id: str
    amount: int
    status: str
    payment_intent: str | None = None

    @property
    def state(self) -> DisputeState:
        """How it is, in the sale's terms."""
        return _DISPUTES.get(self.status, "open")


class _Concerned(msgspec.Struct):
    """What a charge, a refund and a dispute have in common."""

    payment_intent: str | None = None


def funds(intent: Intent, refunds: list[Refund], disputes: list[Dispute]) -> Funds:
    """Return what all refunds and disputes of an intent, newest first, make of its money."""
    done = [refund.refund() for refund in refunds]
    lost = [refund for refund in done if refund.status == "failed"]
    alive = [refund for refund in done if refund.status != "failed"]
    states = {dispute.state for dispute in disputes}
    return Funds(
        captured=intent.captured,
        currency=intent.currency,
        refunded=sum(refund.amount for refund in alive if refund.status == "succeeded"),
        refunding=sum(refund.amount for refund in alive if refund.status == "pending"),
        failed=len(lost),
        failure=(lost[0].failure or "failed") if lost else "",
        refund_id=alive[0].id if alive else "",
        dispute=next((state for state in _WORST if state in states), ""),
        withdrawn=sum(dispute.amount for dispute in disputes if dispute.state in {"open", "lost"}),
    )


class _ListedData(msgspec.Struct):
    object: dict[str, Any]


class ListedEvent(msgspec.Struct):
    """An event as the list has it."""

    id: str
    type: str
    created: int
    data: _ListedData

    def event(self) -> WebhookEvent:
        """Return it in the provider's terms. Raises :class:`PaymentUnavailableError`."""
        found = self.data.object
        intent: Intent | None = None
        if self.type.startswith("payment_intent."):
            wire = read(found, PaymentIntent)
            intent = wire.intent()
            payment = wire.id if intent else ""
        else:
            payment = read(found, _Concerned).payment_intent or ""
        return WebhookEvent(
            id=self.id, kind=self.type, created_s=self.created, intent=intent, payment=payment
        )


Listed = TypeVar("Listed", PaymentIntent, Refund, Dispute, ListedEvent)


class Page(msgspec.Struct, Generic[Listed]):
    """One page of a list."""

    data: list[Listed]
    has_more: bool


class _Data(msgspec.Struct):
    object: msgspec.Raw


class _Event(msgspec.Struct):
    id: str
    type: str
    created: int
    data: _Data


_EVENTS = msgspec.json.Decoder(_Event)
_INTENTS = msgspec.json.Decoder(PaymentIntent)
_CHARGES = msgspec.json.Decoder(Charge)
_CONCERNED = msgspec.json.Decoder(_Concerned)


def read(answer: object, kind: type[T]) -> T:
    """Return an answer as ``kind``. Raises :class:`PaymentUnavailableError` if it is not one."""
    try:
        return msgspec.convert(answer, kind)
    except msgspec.ValidationError as error:
        raise PaymentUnavailableError(
            "The payment provider's answer cannot be understood."
        ) from error


def owned(answer: object, kind: type[PaymentIntent]) -> Intent:
    """Return the intent. Raises :class:`PaymentRefusedError` when it is not an order's."""
    intent = read(answer, kind).intent()
    if intent is None:
        raise PaymentRefusedError(
            "This payment does not belong to an order.", provider_code="not_an_order"
        )
    return intent


def event(body: bytes) -> WebhookEvent:
    """Decode a verified message. Raises ``msgspec.MsgspecError`` when it is malformed."""
    message = _EVENTS.decode(body)
    intent: Intent | None = None
    payment: str | None = None
    if message.type.startswith("payment_intent."):
        wire = _INTENTS.decode(message.data.object)
        intent = wire.intent()
        payment = wire.id if intent else None
    elif message.type == "charge.refunded":
        charge = _CHARGES.decode(message.data.object)
        intent = charge.intent()
        payment = charge.payment_intent if intent else None
    elif message.type in MONEY_EVENTS:
        payment = _CONCERNED.decode(message.data.object).payment_intent
    return WebhookEvent(
        id=message.id,
        kind=message.type,
        created_s=message.created,
        intent=intent,
        payment=payment or "",
    )


def _is_ours(metadata: dict[str, str]) -> bool:
    return is_id(metadata.get("order", "")) and is_id(metadata.get("occurrence", ""))
