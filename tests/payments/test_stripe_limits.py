"""The table of what Stripe can charge, against the look-alike, which has its own."""

from __future__ import annotations

import pytest

from engine.core.currencies import EXPONENTS
from engine.core.ids import new_id
from engine.payments import charge_limits
from engine.payments.errors import PaymentRefusedError
from engine.payments.stripe import StripeProvider

TAKEN = sorted(code for code in [*EXPONENTS, "ISK", "UGX"] if charge_limits(code).supported)
CODES = {
    "too_small": {"amount_too_small", "parameter_invalid_integer"},
    "too_large": {"amount_too_large"},
    "wrong_step": {"invalid_amount"},
}


@pytest.mark.parametrize(
    ("currency", "minimum", "maximum", "step"),
    [
        ("EUR", 50, 99_999_999, 1),
        ("GBP", 30, 99_999_999, 1),
        ("HUF", 17_500, 99_999_999, 1),
        ("JPY", 50, 99_999_999, 1),
        ("IDR", 1, 999_999_999_999, 1),
        ("KWD", 1, 99_999_999, 10),
        ("ISK", 1, 99_999_999, 100),
        ("UGX", 1, 99_999_999, 100),
        ("eur", 50, 99_999_999, 1),
    ],
)
def test_figures_as_published(currency: str, minimum: int, maximum: int, step: int) -> None:
    found = charge_limits(currency)
    assert (found.minimum, found.maximum, found.step) == (minimum, maximum, step)
    assert found.supported


@pytest.mark.parametrize("currency", ["CUP", "KPW", "SYP", "XXX"])
def test_a_currency_that_stripe_does_not_take(currency: str) -> None:
    assert not charge_limits(currency).supported


@pytest.mark.parametrize("currency", TAKEN)
async def test_what_is_said_to_be_chargeable_is_charged_and_nothing_else(
    provider: StripeProvider, currency: str
) -> None:
    limits = provider.charge_limits(currency)
    low = -(-limits.minimum // limits.step) * limits.step
    high = limits.maximum // limits.step * limits.step
    for amount in {1, limits.minimum - 1, low, low + 1, high, high + limits.step}:
        obstacle = limits.obstacle(amount)
        if amount <= 0:
            continue
        asked = provider.create_intent(
            order=new_id(),
            occurrence="0" * 32,
            amount=amount,
            currency=currency,
            email="ada@example.org",
            description="A seat",
        )
        if obstacle is None:
            assert (await asked).amount == amount
            continue
        with pytest.raises(PaymentRefusedError) as caught:
            await asked
        assert caught.value.extra["provider_code"] in CODES[obstacle], (currency, amount)
