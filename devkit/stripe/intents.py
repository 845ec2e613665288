"""The PaymentIntents endpoints."""

from __future__ import annotations

from devkit.stripe import charging, render
from devkit.stripe.amounts import check_amount, check_currency
from devkit.stripe.call import Call, encode
from devkit.stripe.errors import ApiError, invalid, refused
from devkit.stripe.forms import Params
from devkit.stripe.ids import client_secret, new_id
from devkit.stripe.methods import Methods
from devkit.stripe.objects import Intent, Method
from devkit.stripe.state import State, now

_CAPTURE = ("automatic", "automatic_async", "manual")
_CANCEL_REASONS = ("abandoned", "duplicate", "fraudulent", "requested_by_customer")
_TYPES = ("card", "us_bank_account", "link", "cashapp", "klarna", "sepa_debit", "paypal")
_OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")
_DESCRIPTION_MAX = 1_000


class Intents:
    """See the module; every method takes a call and returns the JSON of the answer."""

    def __init__(self, state: State, methods: Methods) -> None:
        self._state = state
        self._methods = methods

    def create(self, call: Call) -> bytes:
        """``POST /v1/payment_intents``."""
        self._state.intents.check_room()
        params = call.params
        amount, currency = self._amount(params)
        automatic = _automatic(params)
        types = params.words("payment_method_types")
        for kind in types:
            if kind not in _TYPES:
                raise invalid(f"Unknown payment method type: {kind}", param="payment_method_types")
        if automatic and types:
            raise invalid(
                "Give payment_method_types or automatic_payment_methods, not both",
                param="payment_method_types",
            )
        item = new_id("pi")
        intent = Intent(
            id=item,
            created=now(),
            amount=amount,
            currency=currency,
            client_secret=client_secret(item),
            capture_method=params.choice("capture_method", _CAPTURE, "automatic_async") or "",
            types=types or ["card"],
            automatic=not types,
        )
        self._describe(intent, params)
        method = self._method(params)
        confirm = params.boolean("confirm")
        return_url, off_session = self._confirmation(params)
        params.finish()
        if method is not None:
            intent.method = method.id
            intent.status = "requires_confirmation"
        self._state.put(intent)
        self._state.emit("payment_intent.created", render.intent(intent, self._state))
        if confirm:
            self._confirm(intent, method, return_url, off_session=off_session)
        return call.show(intent, self._state)

    def retrieve(self, call: Call) -> bytes:
        """``GET /v1/payment_intents/:id``; the buyer's client too."""
        intent = self._state.intents.get(call.item, "intent")
        call.may_see(intent)
        call.params.finish()
        return call.show(intent, self._state)

    def list(self, call: Call) -> bytes:
        """``GET /v1/payment_intents``, newest first."""
        items, more = self._state.intents.page(call.params)
        call.params.finish()
        expand = render.below(call.expand, "data")
        documents = [render.intent(item, self._state, expand) for item in items]
        return encode(render.page("/v1/payment_intents", documents, more=more))

    def update(self, call: Call) -> bytes:
        """``POST /v1/payment_intents/:id``."""
        params = call.params
        intent = self._state.intents.get(call.item, "intent")
        if "amount" in params or "currency" in params:
            if intent.status not in _OPEN:
                raise self._unexpected(intent, "changed")
            given = params.text("currency") or intent.currency
            value = params.integer("amount")
            currency = check_currency(given)
            intent.amount = check_amount(intent.amount if value is None else value, currency)
            intent.currency = currency
        self._describe(intent, params)
        params.finish()
        self._state.put(intent)
        return call.show(intent, self._state)

    def confirm(self, call: Call) -> bytes:
        """``POST /v1/payment_intents/:id/confirm``; the buyer's client too."""
        params = call.params
        intent = self._state.intents.get(call.item, "intent")
        call.may_see(intent)
        method = self._method(params)
        email = params.email("receipt_email")
        return_url, off_session = self._confirmation(params)
        params.finish()
        intent.receipt_email = email or intent.receipt_email
        self._confirm(intent, method, return_url, off_session=off_session)
        return call.show(intent, self._state)

    def capture(self, call: Call) -> bytes:
        """``POST /v1/payment_intents/:id/capture``, for manual capture."""
        intent = self._state.intents.get(call.item, "intent")
        amount = call.params.integer("amount_to_capture")
        call.params.finish()
        if intent.status != "requires_capture":
            raise self._unexpected(intent, "captured")
        amount = intent.amount_capturable if amount is None else amount
        if not 1 <= amount <= intent.amount_capturable:
            raise refused(
                "The amount to capture is more than what was authorised",
                param="amount_to_capture",
                code="amount_too_large",
            )
        charge = self._state.charges.get(intent.charges[-1])
        charge.amount_captured = amount
        charge.amount_refunded = charge.amount - amount
        charging.succeed(self._state, intent, charge, self._methods.card(charge.method))
        return call.show(intent, self._state)

    def cancel(self, call: Call) -> bytes:
        """``POST /v1/payment_intents/:id/cancel``."""
        intent = self._state.intents.get(call.item, "intent")
        reason = call.params.choice("cancellation_reason", _CANCEL_REASONS)
        call.params.finish()
        if intent.status in {"succeeded", "canceled", "processing"}:
            raise self._unexpected(intent, "canceled")
        if intent.status == "requires_capture":
            charge = self._state.charges.get(intent.charges[-1])
            charge.amount_refunded = charge.amount
            self._state.put(charge)
            self._state.emit("charge.refunded", render.charge(charge, self._state))
        intent.status = "canceled"
        intent.canceled_at = now()
        intent.cancellation_reason = reason
        intent.amount_capturable = 0
        intent.challenge = ""
        self._state.put(intent)
        self._state.emit("payment_intent.canceled", render.intent(intent, self._state))
        return call.show(intent, self._state)

    def _confirm(
        self, intent: Intent, method: Method | None, return_url: str | None, *, off_session: bool
    ) -> None:
        if intent.status not in _OPEN:
            raise self._unexpected(intent, "confirmed")
        if method is None and intent.method is None:
            raise refused(
                "A payment method is needed to confirm this PaymentIntent",
                param="payment_method",
                code="payment_intent_unexpected_state",
                payment_intent=render.intent(intent, self._state),
            )
        method = method or self._state.method(intent.method or "")
        charging.confirm(
            self._state, intent, method, return_url=return_url, off_session=off_session
        )

    def _method(self, params: Params) -> Method | None:
        given = params.text("payment_method")
        data = params.table("payment_method_data")
        if data is not None:
            return self._methods.make(data)
        return None if given is None else self._state.method(given)

    def _confirmation(self, params: Params) -> tuple[str | None, bool]:
        params.choice("use_stripe_sdk", ("true", "false"))
        params.table("payment_method_options")
        return params.text("return_url"), params.boolean("off_session")

    def _describe(self, intent: Intent, params: Params) -> None:
        intent.description = params.text("description", _DESCRIPTION_MAX) or intent.description
        intent.receipt_email = params.email("receipt_email") or intent.receipt_email
        suffix = params.text("statement_descriptor_suffix", 22)
        intent.descriptor_suffix = suffix or intent.descriptor_suffix
        intent.metadata = params.metadata(intent.metadata)

    def _amount(self, params: Params) -> tuple[int, str]:
        amount = params.integer("amount")
        if amount is None:
            raise params.lacking("amount")
        currency = check_currency(params.required("currency"))
        return check_amount(amount, currency), currency

    def _unexpected(self, intent: Intent, step: str) -> ApiError:
        return refused(
            f"This PaymentIntent has the status {intent.status} and cannot be {step}",
            code="payment_intent_unexpected_state",
            payment_intent=render.intent(intent, self._state),
        )


def _automatic(params: Params) -> bool:
    table = params.table("automatic_payment_methods")
    if table is None:
        return False
    table.choice("allow_redirects", ("always", "never"))
    enabled = table.choice("enabled", ("true", "false")) == "true"
    table.finish()
    return enabled
