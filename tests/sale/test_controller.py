"""The admission controller, given scripted observations and small simulated houses."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from engine.queue.admission.controller import (
    CUT_EVERY_S,
    FAILURES_MAX,
    HOLD_US_MAX,
    LAG_US_MAX,
    REASONS,
    SHARE_MIN,
    STEP_S,
    TRICKLE_MILLI,
    Controller,
    Decision,
    Edge,
    Observation,
    Reason,
)
from engine.queue.live.forecast import Outlook

RATE = 10_000  # ten a second
WELL = Edge(hold_us=5_000, checkout_us=400_000, lag_us=500, payments=20)
SLOW = Edge(hold_us=HOLD_US_MAX + 1)
SURE = Outlook(buys=1.0, tickets=2.0, variance=0.0)


def seen(**changes: Any) -> Observation:
    values: dict[str, Any] = {
        "on": True,
        "phase": "open",
        "drawn": True,
        "paused": False,
        "rate_milli": RATE,
        "cap": 500,
        "waiting": 100_000,
        "inside": 100,
        "called": 20,
        "free": 50_000,
        "held": 150,
        "edge": WELL,
    }
    return Observation(**{**values, **changes})


class Steps:
    """Decides every ``STEP_S``, as the service does."""

    def __init__(self) -> None:
        self.controller = Controller()
        self.now_s = 1_000.0
        self.decisions: list[Decision] = []

    def take(self, count: int, **changes: Any) -> Decision:
        for _ in range(count):
            self.decisions.append(self.controller.decide(seen(**changes), self.now_s))
            self.now_s += STEP_S
        return self.decisions[-1]

    def seconds(self, seconds: float, **changes: Any) -> Decision:
        return self.take(round(seconds / STEP_S), **changes)


def test_all_is_well_so_it_goes_as_fast_as_the_operator_lets() -> None:
    steps = Steps()
    for _ in range(100):
        decision = steps.take(1)
        assert decision == Decision(rate_milli=RATE, allowed=4, reason="steady")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"on": False}, "off"),
        ({"phase": "planned"}, "not_open"),
        ({"drawn": False}, "not_open"),
        ({"phase": "closed"}, "closed"),
        ({"paused": True}, "paused"),
        ({"waiting": 0}, "nobody_waiting"),
        ({"free": 0, "held": 0}, "sold_out"),
        ({"free": 0, "held": 1}, "stock_spoken_for"),
    ],
)
def test_while_a_gate_is_shut_nobody_is_called(changes: dict[str, Any], reason: Reason) -> None:
    steps = Steps()
    assert steps.take(1, **changes) == Decision(rate_milli=0, allowed=0, reason=reason)
    assert steps.take(1).allowed > 0  # and it opens again


def test_a_draining_line_is_called_like_an_open_one() -> None:
    assert Steps().take(1, phase="draining").reason == "steady"


def test_the_cap_is_never_exceeded() -> None:
    for inside in range(500):
        decision = Steps().take(1, inside=inside, called=7)
        assert decision.allowed <= max(500 - 7 - inside, 0)
    full = Steps().take(1, inside=480, called=20)
    assert (full.allowed, full.reason) == (0, "cap_reached")
    over = Steps().take(1, inside=600, called=20)  # the operator has lowered it
    assert (over.allowed, over.reason) == (0, "cap_reached")


def test_a_slow_edge_halves_the_rate_again_and_again_but_not_to_nothing() -> None:
    steps = Steps()
    first = steps.take(1, edge=SLOW)
    assert (first.rate_milli, first.reason) == (RATE / 2, "edge_slow")
    assert steps.seconds(CUT_EVERY_S - 2 * STEP_S, edge=SLOW).rate_milli == RATE / 2
    assert steps.seconds(2 * STEP_S, edge=SLOW).rate_milli == RATE / 4
    least = steps.seconds(60, edge=SLOW)
    assert least.rate_milli == RATE * SHARE_MIN
    assert least.allowed >= 1


@pytest.mark.parametrize("edge", [SLOW, Edge(lag_us=LAG_US_MAX + 1), Edge(checkout_us=6_000_000)])
def test_each_way_of_being_slow_counts(edge: Edge) -> None:
    assert Steps().take(1, edge=edge).reason == "edge_slow"


def test_when_the_edge_is_well_again_the_rate_comes_back_gently() -> None:
    steps = Steps()
    steps.seconds(30, edge=SLOW)
    began = len(steps.decisions)
    steps.seconds(30)
    rates = [decision.rate_milli for decision in steps.decisions[began:]]
    assert rates == sorted(rates)
    assert max(b - a for a, b in pairwise(rates)) <= RATE * 0.011 + 1
    assert steps.decisions[began].reason == "recovering"
    assert steps.decisions[-1] == Decision(rate_milli=RATE, allowed=4, reason="steady")
    back_s = next(i for i, rate in enumerate(rates) if rate == RATE) * STEP_S
    assert 15 < back_s < 25


def test_an_edge_that_is_nearly_slow_is_left_as_it_is() -> None:
    steps = Steps()
    steps.take(1, edge=SLOW)
    assert steps.seconds(30, edge=Edge(hold_us=int(HOLD_US_MAX * 0.8))).rate_milli == RATE / 2


def test_a_long_silence_does_not_make_up_for_a_cut() -> None:
    steps = Steps()
    steps.seconds(60, edge=SLOW)
    steps.now_s += 10_000
    assert steps.take(1).rate_milli < RATE / 4


def test_payments_that_fail_halve_the_rate() -> None:
    steps = Steps()
    failing = Edge(payments=10, failures=5)
    assert steps.take(1, edge=failing).reason == "payments_failing"
    assert steps.seconds(30, edge=failing).rate_milli < RATE / 10
    assert steps.seconds(40, edge=WELL).reason == "steady"


@pytest.mark.parametrize(
    "edge",
    [
        Edge(payments=2, failures=2),  # too few to say
        Edge(payments=100, failures=int(100 * FAILURES_MAX)),
        Edge(payments=0, failures=0),
    ],
)
def test_some_failures_are_none(edge: Edge) -> None:
    assert Steps().take(1, edge=edge).reason == "steady"


def test_while_nobody_could_enter_one_is_called_at_a_time() -> None:
    steps = Steps()
    alone = steps.take(1, edge=None, inside=0, called=0)
    assert (alone.allowed, alone.reason) == (1, "edge_silent")
    assert alone.rate_milli == TRICKLE_MILLI
    assert steps.take(1, edge=None, inside=0, called=1).allowed == 0
    assert steps.take(1).reason == "steady"


def test_it_slows_down_as_the_stock_is_spoken_for() -> None:
    rates = []
    for inside in range(0, 140, 4):
        decision = Steps().take(1, free=250, held=0, called=0, inside=inside, outlook=SURE)
        rates.append(decision.rate_milli)
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == RATE
    assert RATE > rates[27] > TRICKLE_MILLI
    assert rates[-1] == TRICKLE_MILLI


def test_as_many_are_called_as_there_is_stock_for() -> None:
    called = 0
    steps = Steps()
    for _ in range(100):
        decision = steps.take(1, free=41, held=0, inside=8, called=called, outlook=SURE, cap=10**6)
        if decision.rate_milli == TRICKLE_MILLI:
            break
        called += decision.allowed
        assert decision.reason == "stock_spoken_for"
    assert called + 8 == 41 // 2


def test_who_has_a_cart_takes_no_more() -> None:
    with_carts = Steps().take(1, free=100, held=120, inside=60, called=0, outlook=SURE)
    without = Steps().take(1, free=100, held=0, inside=60, called=0, outlook=SURE)
    assert with_carts.rate_milli > without.rate_milli


def test_if_hardly_anybody_buys_more_are_called() -> None:
    few = Outlook(buys=0.05, tickets=2.0, variance=1.0)
    house = {"free": 40, "held": 0, "inside": 60, "called": 20}
    assert Steps().take(1, **house, outlook=few).rate_milli == RATE
    assert Steps().take(1, **house, outlook=SURE).rate_milli < RATE


def test_while_stock_is_free_and_nobody_is_inside_one_is_called() -> None:
    for changes in (
        {"free": 1, "held": 0, "outlook": SURE},
        {"free": 1, "held": 5_000},
        {"edge": SLOW},
        {"edge": None},
        {"rate_milli": 1},
        {"cap": 1},
    ):
        steps = Steps()
        steps.seconds(60, **changes)
        decision = steps.take(1, inside=0, called=0, **changes)
        assert decision.allowed >= 1, changes
        assert decision.rate_milli >= 1, changes


def test_a_dawdler_does_not_stop_the_line_while_something_is_free() -> None:
    decision = Steps().take(1, free=2, held=0, inside=1, called=0, outlook=SURE)
    assert decision == Decision(rate_milli=TRICKLE_MILLI, allowed=1, reason="stock_spoken_for")
    crowded = Steps().take(1, free=2, held=0, inside=5, called=0, outlook=SURE)
    assert crowded.allowed == 0


def test_after_a_sold_out_the_stock_that_comes_back_is_called_for() -> None:
    steps = Steps()
    steps.seconds(20, free=0, held=0)
    decision = steps.take(1, free=6, held=0, inside=0, called=0)
    assert decision.allowed >= 1
    assert decision.rate_milli >= TRICKLE_MILLI


def random_observation(dice: random.Random) -> dict[str, Any]:
    edges = (WELL, SLOW, None, Edge(payments=9, failures=9), Edge(lag_us=40_000))
    return {
        "cap": dice.choice((1, 5, 500, 100_000)),
        "inside": dice.choice((0, 1, 50, 2_000)),
        "called": dice.choice((0, 1, 50)),
        "waiting": dice.choice((0, 1, 10**6)),
        "free": dice.choice((0, 1, 50, 10**5)),
        "held": dice.choice((0, 1, 50, 10**5)),
        "paused": dice.random() < 0.1,
        "edge": dice.choice(edges),
        "outlook": Outlook(buys=dice.random(), tickets=1 + 3 * dice.random(), variance=1.0),
    }


@pytest.mark.parametrize("rate_milli", [1, 99, 10_000, 5_000_000])
def test_whatever_is_seen_it_stays_within_its_bounds(rate_milli: int) -> None:
    dice = random.Random(rate_milli)  # noqa: S311 - a test's dice
    steps = Steps()
    reasons = set()
    for _ in range(3_000):
        house = random_observation(dice)
        decision = steps.take(1, rate_milli=rate_milli, **house)
        reasons.add(decision.reason)
        assert 0 <= decision.rate_milli <= rate_milli
        room = max(house["cap"] - house["inside"] - house["called"], 0)
        even = rate_milli / 1000 * STEP_S
        assert 0 <= decision.allowed <= min(room, 2 * even + 1)
        if decision.allowed:
            assert decision.rate_milli > 0
    assert reasons <= set(REASONS)
    assert {"edge_slow", "edge_silent", "payments_failing", "sold_out", "paused"} <= reasons


class House:
    """A simulated edge: its holds are as slow as there are people doing something at once."""

    def __init__(self, bears: float, free: int = 10**9) -> None:
        self.bears = bears  # people a second
        self.free = free
        self.arrivals: list[int] = []
        self.steps = Steps()

    def run(self, seconds: float) -> list[float]:
        """Return the calls a second of each second."""
        a_second = round(1 / STEP_S)
        credit = 0.0
        for _ in range(round(seconds / STEP_S)):
            load = sum(self.arrivals[-3 * a_second :]) / 3  # what the pulse tells: 3 seconds
            edge = msgspec.structs.replace(WELL, hold_us=int(HOLD_US_MAX * load / self.bears))
            decision = self.steps.take(1, edge=edge, cap=10**6, inside=0, called=0, free=self.free)
            credit = min(credit + decision.rate_milli / 1000 * STEP_S, 10.0)
            count = min(int(credit), decision.allowed)
            credit -= count
            self.arrivals.append(count)
        seconds_ = [
            sum(self.arrivals[i : i + a_second]) for i in range(0, len(self.arrivals), a_second)
        ]
        return [float(count) for count in seconds_]


def test_it_settles_near_what_the_edge_can_bear() -> None:
    house = House(bears=6.0)
    calls = house.run(300)[60:]
    mean = sum(calls) / len(calls)
    assert 0.55 * 6 < mean < 6.3  # not idle, and on average not beyond
    assert max(calls) <= 9  # and it swings within bounds
    assert min(calls) >= 2


def test_with_an_edge_that_bears_all_it_never_slows_down() -> None:
    calls = House(bears=50.0).run(60)
    assert calls[1:] == [10.0] * 59
