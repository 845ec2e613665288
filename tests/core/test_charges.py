"""What a provider can charge, and totals that never miss it by a rate."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.charges import ChargeLimits
from engine.core.money import Fees, order_total, share

LIMITS = ChargeLimits(minimum=50, maximum=99_999_990, step=10)


@pytest.mark.parametrize(
    ("total", "obstacle"),
    [
        *((0, None), (50, None), (60, None), (99_999_990, None)),
        *((1, "too_small"), (10, "too_small"), (49, "too_small"), (40, "too_small")),
        *(
            (100_000_000, "too_large"),
            (10**12, "too_large"),
            (51, "wrong_step"),
            (99, "wrong_step"),
        ),
    ],
)
def test_a_total_is_chargeable_or_not(total: int, obstacle: str | None) -> None:
    assert LIMITS.obstacle(total) == obstacle


def test_a_currency_that_is_not_taken_can_only_be_given_away() -> None:
    limits = ChargeLimits(minimum=1, maximum=10, supported=False)
    assert limits.obstacle(0) is None
    assert limits.obstacle(5) == "currency"


@given(
    subtotal=st.integers(0, 10**9).map(lambda units: units * 10),
    tickets=st.integers(1, 100),
    rates=st.tuples(*[st.integers(0, 10_000)] * 3),
    fixed=st.tuples(*[st.integers(0, 1_000).map(lambda units: units * 10)] * 2),
)
def test_rates_keep_to_the_step_of_the_currency(
    subtotal: int, tickets: int, rates: tuple[int, int, int], fixed: tuple[int, int]
) -> None:
    fees = Fees(
        platform_percent_bp=rates[0],
        platform_per_ticket=fixed[0],
        payment_percent_bp=rates[1],
        payment_fixed=fixed[1],
    )
    total = order_total(subtotal, tickets, fees=fees, tax_rate_bp=rates[2], step=10)
    assert total.total % 10 == 0
    parts = total.platform_fee + total.payment_fee + total.tax
    assert total.total == total.subtotal - total.discount + parts
    exact = order_total(subtotal, tickets, fees=fees, tax_rate_bp=rates[2])
    assert abs(total.total - exact.total) <= 30


@given(st.integers(0, 10**10), st.integers(0, 10_000), st.sampled_from([1, 10, 100]))
def test_a_share_is_the_nearest_multiple_and_halves_go_up(
    amount: int, rate_bp: int, step: int
) -> None:
    found = share(amount, rate_bp, step)
    assert found % step == 0
    # found - step / 2 <= exact < found + step / 2, in parts of 20,000
    assert 20_000 * found - 10_000 * step <= 2 * amount * rate_bp < 20_000 * found + 10_000 * step
