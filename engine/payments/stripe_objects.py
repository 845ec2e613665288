"""The parts of Stripe's objects that matter here, and what they mean to the sale."""

from __future__ import annotations

from typing import Generic, Literal, TypeVar

import msgspec

from engine.core.errors import PaymentRefusedError, PaymentUnavailableError
from engine.core.ids import is_id
from engine.payments import provider
from engine.payments.provider import Intent, IntentStatus, WebhookEvent

T = TypeVar("T")
_STATUS: dict[str, IntentStatus] = {
    "processing": "processing",
    "succeeded": "succeeded",
    "canceled": "canceled",
}  # the others can still be paid or cancelled: "open"
_REFUND_STATUS: dict[str, Literal["succeeded", "failed"]] = {
    "succeeded": "succeeded",
    "failed": "failed",
    "canceled": "failed",
}  # the others may still succeed: "pending"


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
    metadata: dict[str, str] = {}

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
            refunded=self.amount_refunded,
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
            refunded=charge.amount_refunded if isinstance(charge, Charge) else 0,
            client_secret=self.client_secret or "",
            failure=problem.decline_code or problem.code or "",
            installation=self.metadata.get("installation", ""),
        )


class Refund(msgspec.Struct):
    """Money given back."""

    id: str
    amount: int
    payment_intent: str
    status: str | None = None
    metadata: dict[str, str] = {}

    def refund(self) -> provider.Refund:
        """Return it in the provider's terms."""
        return provider.Refund(
            id=self.id,
            intent=self.payment_intent,
            amount=self.amount,
            status=_REFUND_STATUS.get(self.status or "", "pending"),
        )


Listed = TypeVar("Listed", PaymentIntent, Refund)


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
    if message.type.startswith("payment_intent."):
        intent = _INTENTS.decode(message.data.object).intent()
    elif message.type == "charge.refunded":
        intent = _CHARGES.decode(message.data.object).intent()
    return WebhookEvent(id=message.id, kind=message.type, created_s=message.created, intent=intent)


def _is_ours(metadata: dict[str, str]) -> bool:
    return is_id(metadata.get("order", "")) and is_id(metadata.get("occurrence", ""))
