"""The PaymentMethods endpoints: test cards by number."""

from __future__ import annotations

from datetime import UTC, datetime

from devkit.stripe import render
from devkit.stripe.call import Call, encode
from devkit.stripe.cards import BY_NAME, BY_NUMBER, Card, passes_luhn
from devkit.stripe.errors import ApiError, invalid
from devkit.stripe.forms import Params
from devkit.stripe.ids import new_id
from devkit.stripe.objects import Method
from devkit.stripe.state import State, now

_MONTHS = 12
_CENTURY = 100


class Methods:
    """See the module; endpoints take a call and return the JSON of the answer."""

    def __init__(self, state: State) -> None:
        self._state = state

    def create(self, call: Call) -> bytes:
        """``POST /v1/payment_methods``; the buyer's client too."""
        method = self.make(call.params)
        call.params.finish()
        return encode(render.payment_method(method))

    def retrieve(self, call: Call) -> bytes:
        """``GET /v1/payment_methods/:id``."""
        call.params.finish()
        return encode(render.payment_method(self._state.method(call.item)))

    def card(self, method: str) -> Card:
        """Return what the payment method does."""
        return BY_NAME[self._state.method(method).card]

    def make(self, params: Params) -> Method:
        """Make a payment method of ``type`` and ``card[number]`` etc. Raises ``ApiError``."""
        kind = params.required("type")
        if kind not in {"card", "us_bank_account"}:
            raise invalid(f"The look-alike knows no {kind}: use card", param="type")
        details = params.table(kind)
        if details is None:
            raise params.lacking(kind)
        params.table("billing_details")
        params.choice("allow_redisplay", ("always", "limited", "unspecified"))
        metadata = params.metadata({})
        if kind == "card":
            card, month, year = _read_card(details)
        else:
            card, month, year = _known(details.required("account_number")), 0, 0
            for name in ("routing_number", "account_holder_type", "account_type"):
                details.text(name)
        details.finish()
        self._state.methods.check_room()
        method = Method(
            id=new_id("pm"),
            created=now(),
            card=card.name,
            exp_month=month,
            exp_year=year,
            metadata=metadata,
        )
        self._state.put(method)
        return method


def _card_error(code: str, message: str, param: str) -> ApiError:
    return ApiError(402, "card_error", message, saved=True, code=code, param=param)


def _known(number: str) -> Card:
    card = BY_NUMBER.get(number)
    if card is None:
        raise ApiError(
            402,
            "card_error",
            "Your card was declined: only the published test numbers can be used here.",
            code="card_declined",
            decline_code="test_mode_live_card",
        )
    return card


def _read_card(details: Params) -> tuple[Card, int, int]:
    number = details.required("number").replace(" ", "")
    month, year = details.integer("exp_month"), details.integer("exp_year")
    cvc = details.text("cvc")
    if month is None or year is None:
        raise details.lacking("exp_month" if month is None else "exp_year")
    if not (number.isascii() and number.isdecimal() and passes_luhn(number)):
        raise _card_error("incorrect_number", "Your card number is incorrect.", "number")
    if not 1 <= month <= _MONTHS:
        raise _card_error("invalid_expiry_month", "Your card's month is invalid.", "exp_month")
    year += 2000 if year < _CENTURY else 0
    today = datetime.now(UTC)
    if (year, month) < (today.year, today.month):
        raise _card_error("invalid_expiry_year", "Your card's year is in the past.", "exp_year")
    if cvc is not None and not (cvc.isdecimal() and len(cvc) in {3, 4}):
        raise _card_error("invalid_cvc", "Your card's security code is invalid.", "cvc")
    return _known(number), month, year
