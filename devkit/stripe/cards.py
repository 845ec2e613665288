"""The published test payment methods and card numbers, and what each one does."""

from __future__ import annotations

from typing import Literal

import msgspec


class Decline(msgspec.Struct, frozen=True):
    """Why a charge is declined: the error's ``code`` and, for cards, ``decline_code``."""

    code: str
    decline_code: str
    message: str


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """One test payment method.

    ``challenge``: the buyer must authenticate first (3-D Secure). ``debit``: a
    bank debit, which is "processing" until settled. ``refund``: how its refunds
    end.
    """

    name: str
    number: str
    brand: str = "visa"
    funding: str = "credit"
    challenge: bool = False
    debit: bool = False
    decline: Decline | None = None
    disputed: bool = False
    refund: Literal["succeeded", "pending", "fails"] = "succeeded"


def _declined(decline_code: str, message: str, code: str = "card_declined") -> Decline:
    return Decline(code, decline_code, message)


_GENERIC = _declined("generic_decline", "Your card was declined.")
_FUNDS = _declined("insufficient_funds", "Your card has insufficient funds.")
_LOST = _declined("lost_card", "Your card was declined.")
_STOLEN = _declined("stolen_card", "Your card was declined.")
_VELOCITY = _declined("card_velocity_exceeded", "Your card was declined: too many tries.")
_EXPIRED = _declined("expired_card", "Your card has expired.", "expired_card")
_CVC = _declined("incorrect_cvc", "Your card's security code is incorrect.", "incorrect_cvc")
_PROCESSING = _declined(
    "processing_error", "An error occurred while processing your card.", "processing_error"
)
_FRAUD = _declined("fraudulent", "Your card was declined.")
AUTHENTICATION_REQUIRED = _declined(
    "authentication_required",
    "Your card was declined: the payment must be authenticated.",
    "authentication_required",
)
_BANK = _declined("", "The bank refuses the debit.", "payment_method_provider_decline")

_CARDS = (
    Card(name="pm_card_visa", number="4242424242424242"),
    Card(name="pm_card_visa_debit", number="4000056655665556", funding="debit"),
    Card(name="pm_card_mastercard", number="5555555555554444", brand="mastercard"),
    Card(
        name="pm_card_mastercard_debit",
        number="5200828282828210",
        brand="mastercard",
        funding="debit",
    ),
    Card(
        name="pm_card_mastercard_prepaid",
        number="5105105105105100",
        brand="mastercard",
        funding="prepaid",
    ),
    Card(name="pm_card_amex", number="378282246310005", brand="amex"),
    Card(name="pm_card_discover", number="6011111111111117", brand="discover"),
    Card(name="pm_card_diners", number="3056930009020004", brand="diners"),
    Card(name="pm_card_jcb", number="3566002020360505", brand="jcb"),
    Card(name="pm_card_unionpay", number="6200000000000005", brand="unionpay"),
    Card(name="pm_card_chargeDeclined", number="4000000000000002", decline=_GENERIC),
    Card(
        name="pm_card_chargeDeclinedInsufficientFunds",
        number="4000000000009995",
        decline=_FUNDS,
    ),
    Card(name="pm_card_chargeDeclinedLostCard", number="4000000000009987", decline=_LOST),
    Card(name="pm_card_chargeDeclinedStolenCard", number="4000000000009979", decline=_STOLEN),
    Card(name="pm_card_chargeDeclinedExpiredCard", number="4000000000000069", decline=_EXPIRED),
    Card(name="pm_card_chargeDeclinedIncorrectCvc", number="4000000000000127", decline=_CVC),
    Card(
        name="pm_card_chargeDeclinedProcessingError",
        number="4000000000000119",
        decline=_PROCESSING,
    ),
    Card(
        name="pm_card_chargeDeclinedVelocityLimitExceeded",
        number="4000000000006975",
        decline=_VELOCITY,
    ),
    Card(name="pm_card_radarBlock", number="4100000000000019", decline=_FRAUD),
    Card(name="pm_card_threeDSecure2Required", number="4000000000003220", challenge=True),
    Card(name="pm_card_authenticationRequired", number="4000002760003184", challenge=True),
    Card(
        name="pm_card_authenticationRequiredChargeDeclinedInsufficientFunds",
        number="4000008260003178",
        challenge=True,
        decline=_FUNDS,
    ),
    Card(
        name="pm_card_threeDSecureRequiredChargeDeclined",
        number="4000008400001629",
        challenge=True,
        decline=_GENERIC,
    ),
    Card(name="pm_card_createDispute", number="4000000000000259", disputed=True),
    Card(name="pm_card_pendingRefund", number="4000000000007726", refund="pending"),
    Card(name="pm_card_refundFail", number="4000000000005126", refund="fails"),
    Card(name="pm_usBankAccount_success", number="000123456789", brand="bank", debit=True),
    Card(
        name="pm_usBankAccount_debitNotAuthorized",
        number="000333333335",
        brand="bank",
        debit=True,
        decline=_BANK,
    ),
)
_VISA_ALIAS = "pm_card_visa_chargeDeclined"  # declines are published under both spellings
BY_NAME = {card.name: card for card in _CARDS} | {
    card.name.replace("pm_card_chargeDeclined", _VISA_ALIAS): card for card in _CARDS
}
BY_NUMBER = {card.number: card for card in _CARDS}


def passes_luhn(number: str) -> bool:
    """Tell whether the check digit of a card number is right (ISO/IEC 7812-1)."""
    total = 0
    for index, digit in enumerate(reversed(number)):
        value = int(digit) * (1 + index % 2)
        total += value - 9 if value > 9 else value  # noqa: PLR2004 - the digit sum of a two-digit number
    return total % 10 == 0
