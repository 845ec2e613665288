from __future__ import annotations

from collections.abc import Callable

import pytest

from loadtest.bench.results import Ratio
from loadtest.bench.trend import Moment, Trend


def moments(lag_s: Callable[[int], float], count: int = 20) -> list[Moment]:
    """A sale of 100 orders/s, looked at every 1.5 s."""
    return [
        Moment(tickets=300 * n, orders=150 * n, at=1.5 * n, persisted_at=1.5 * n + lag_s(n))
        for n in range(count + 1)
    ]


def ratio(trend: Trend) -> Ratio:
    return Ratio(
        name="x",
        title="",
        unit="",
        limit_title="",
        measured=trend.persisted,
        limit=trend.sold,
        must=1.0,
        aim=1.0,
    )


@pytest.mark.parametrize(
    "lag_s",
    [
        lambda _: 0.05,
        lambda n: 0.05 if n % 2 else 0.2,  # a poll, a commit
        lambda n: 1.0 if n == 20 else 0.05,  # the last look falls into a checkpoint
        lambda n: 1.0 if n == 0 else 0.05,
        lambda n: 0.6 if n in {5, 6, 7, 13} else 0.05,
    ],
)
def test_a_lag_that_does_not_grow_is_no_lag(lag_s: Callable[[int], float]) -> None:
    found = ratio(Trend(moments(lag_s)))
    assert found.verdict == "aim"
    assert found.value == pytest.approx(1.0, abs=0.005)


@pytest.mark.parametrize("growth", [0.02, 0.1, 1.0])
def test_a_lag_that_grows_is_seen_whatever_a_single_look_says(growth: float) -> None:
    trend = Trend(moments(lambda n: 0.0 if n == 20 else 0.05 + 1.5 * n * growth))
    assert trend.lag_growth == pytest.approx(growth, rel=0.05)
    assert ratio(trend).value == pytest.approx(1 / (1 + growth), rel=0.01)
    assert ratio(trend).verdict == "missed"


def test_two_moments_are_enough_and_what_sold_nothing_is_left_out() -> None:
    first, second = Moment(0, 0, 0.0, 0.1), Moment(20, 10, 2.0, 2.1)
    trend = Trend([first, second, second._replace(at=3.0, persisted_at=3.1)])
    assert trend.sold == pytest.approx([5.0, 10 / 3])
    assert trend.persisted == pytest.approx([5.0, 10 / 3])
    assert trend.seconds == 3.0
