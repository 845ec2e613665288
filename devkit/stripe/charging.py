"""What happens when an intent is paid: challenge, decline, capture, processing."""

from __future__ import annotations

from typing import Literal

import msgspec

from devkit.stripe import render
from devkit.stripe.cards import AUTHENTICATION_REQUIRED, BY_NAME, Card, Decline
from devkit.stripe.disputes import open_dispute
from devkit.stripe.errors import ApiError
from devkit.stripe.ids import new_id, token
from devkit.stripe.objects import NO_ERROR, Charge, Intent, Method
from devkit.stripe.state import State, now

_CHALLENGE_LENGTH = 24


def confirm(
    state: State, intent: Intent, method: Method, *, return_url: str | None, off_session: bool
) -> None:
    """Pay ``intent`` with ``method``. Raises :class:`ApiError` (402) when it is declined."""
    card = BY_NAME[method.card]
    intent.method = method.id
    intent.error = NO_ERROR
    intent.return_url = return_url
    if card.challenge and off_session:
        raise _decline(state, intent, method, AUTHENTICATION_REQUIRED)
    if card.challenge:
        intent.status = "requires_action"
        intent.challenge = token(_CHALLENGE_LENGTH)
        state.put(intent)
        state.emit("payment_intent.requires_action", render.intent(intent, state))
        return
    take(state, intent, method)


def take(state: State, intent: Intent, method: Method) -> None:
    """Take the money, the challenge (if any) being passed. Raises :class:`ApiError` (402)."""
    card = BY_NAME[method.card]
    intent.challenge = ""
    if card.debit:
        _charge(state, intent, method, status="pending", captured=True)
        intent.status = "processing"
        state.put(intent)
        state.emit("payment_intent.processing", render.intent(intent, state))
        return
    if card.decline is not None:
        raise _decline(state, intent, method, card.decline)
    if intent.capture_method == "manual":
        _charge(state, intent, method, status="succeeded", captured=False)
        intent.status = "requires_capture"
        intent.amount_capturable = intent.amount
        state.put(intent)
        state.emit("payment_intent.amount_capturable_updated", render.intent(intent, state))
        return
    charge = _charge(state, intent, method, status="succeeded", captured=True)
    succeed(state, intent, charge, card)


def succeed(state: State, intent: Intent, charge: Charge, card: Card) -> None:
    """Book a captured charge: the intent has its money."""
    charge.status = "succeeded"
    charge.captured = True
    if charge.amount_captured == 0:
        charge.amount_captured = charge.amount
    intent.status = "succeeded"
    intent.amount_received = charge.amount_captured
    intent.amount_capturable = 0
    state.put(charge)
    state.put(intent)
    state.emit("charge.succeeded", render.charge(charge, state))
    state.emit("payment_intent.succeeded", render.intent(intent, state))
    if card.disputed:
        open_dispute(state, charge)


def capture(state: State, intent: Intent, method: Method, amount: int | None, card: Card) -> Charge:
    """Pay an intent and take ``amount`` (None: all), whatever it asked for.

    Less, as a partial capture does; more, as an overcapture does.
    """
    intent.method = method.id
    intent.error = NO_ERROR
    charge = _charge(state, intent, method, status="succeeded", captured=True)
    charge.amount_captured = intent.amount if amount is None else amount
    charge.amount_refunded = max(0, charge.amount - charge.amount_captured)
    succeed(state, intent, charge, card)
    return charge


def settle(state: State, intent: Intent) -> None:
    """Let a bank debit that is "processing" end as its account number says."""
    charge = state.charges.get(intent.charges[-1])
    method = state.method(charge.method)
    card = BY_NAME[method.card]
    if card.decline is None:
        succeed(state, intent, charge, card)
        return
    charge.status = "failed"
    charge.captured = False
    charge.failure_code = card.decline.code
    charge.failure_message = card.decline.message
    state.put(charge)
    state.emit("charge.failed", render.charge(charge, state))
    _failed(
        state,
        intent,
        {
            "type": "invalid_request_error",
            "code": card.decline.code,
            "message": card.decline.message,
            "charge": charge.id,
            "payment_method": render.payment_method(method),
        },
    )


def fail_challenge(state: State, intent: Intent) -> None:
    """End 3-D Secure without success: the buyer needs another payment method."""
    method = state.method(intent.method or "")
    intent.challenge = ""
    _failed(
        state,
        intent,
        {
            "type": "invalid_request_error",
            "code": "payment_intent_authentication_failure",
            "message": "The payment method has failed authentication; try another one.",
            "payment_method": render.payment_method(method),
        },
    )


def _charge(
    state: State,
    intent: Intent,
    method: Method,
    *,
    status: Literal["succeeded", "pending", "failed"],
    captured: bool,
) -> Charge:
    state.charges.check_room()
    charge = Charge(
        id=new_id("ch"),
        created=now(),
        intent=intent.id,
        method=method.id,
        amount=intent.amount,
        currency=intent.currency,
        status=status,
        captured=captured,
        metadata=dict(intent.metadata),
        description=intent.description,
        receipt_email=intent.receipt_email,
    )
    intent.charges.append(charge.id)
    state.put(charge)
    return charge


def _decline(state: State, intent: Intent, method: Method, why: Decline) -> ApiError:
    charge = _charge(state, intent, method, status="failed", captured=False)
    charge.failure_code = why.code
    charge.failure_message = why.message
    charge.decline_code = why.decline_code
    state.emit("charge.failed", render.charge(charge, state))
    members: render.Document = {
        "charge": charge.id,
        "code": why.code,
        "decline_code": why.decline_code,
        "payment_method": render.payment_method(method),
    }
    _failed(state, intent, {**members, "type": "card_error", "message": why.message})
    document = render.intent(intent, state)
    return ApiError(402, "card_error", why.message, saved=True, payment_intent=document, **members)


def _failed(state: State, intent: Intent, problem: render.Document) -> None:
    intent.status = "requires_payment_method"
    intent.method = None
    intent.error = msgspec.Raw(msgspec.json.encode(problem))
    state.put(intent)
    state.emit("payment_intent.payment_failed", render.intent(intent, state))
