"""All serving processes as one: none of them alone, and no single buyer, decides."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.ids import new_id
from engine.queue.admission.controller import (
    CHECKOUT_US_MAX,
    CUT_EVERY_S,
    HOLD_US_MAX,
    LAG_US_MAX,
    Controller,
    Edge,
)
from engine.queue.admission.edge import edge_of
from engine.queue.admission.edge_reports import VALUE_MAX, Pulse
from tests.sale.test_controller import RATE, seen

WELL: dict[str, int] = {"hold_us": 3_000, "checkout_us": 400_000, "lag_us": 300, "payments": 20}
BROKEN: dict[str, int] = {
    "hold_us": VALUE_MAX,
    "checkout_us": VALUE_MAX,
    "lag_us": VALUE_MAX,
    "payments": 500,
    "failures": 500,
}


def pulse(**values: int) -> Pulse:
    return Pulse(process=new_id(), **values)


def share_of(pulses: list[Pulse], seconds: float = 60) -> float:
    """What the controller lets of the operator's rate after so long."""
    controller, now_s = Controller(), 1_000.0
    while now_s < 1_000 + seconds:
        decision = controller.decide(seen(edge=edge_of(pulses)), now_s)
        now_s += 1
    return decision.rate_milli / RATE


def test_nobody_is_heard_of() -> None:
    assert edge_of([]) is None


def test_one_process_alone_is_the_edge() -> None:
    edge = edge_of([pulse(hold_us=7, checkout_us=8, lag_us=9, payments=10, failures=4)])
    assert edge == Edge(hold_us=7, checkout_us=8, lag_us=9, payments=10, failures=4)


@pytest.mark.parametrize("processes", [2, 3, 4, 8, 16])
@pytest.mark.parametrize("what", [*BROKEN, "all"])
def test_a_broken_one_does_not_slow_the_line(processes: int, what: str) -> None:
    broken = BROKEN if what == "all" else {**WELL, what: BROKEN[what]}
    if what == "failures":
        broken = {**broken, "payments": 500}
    pulses = [pulse(**broken), *(pulse(**WELL) for _ in range(processes - 1))]
    assert share_of(pulses) == 1
    assert share_of(pulses[::-1]) == 1


@pytest.mark.parametrize("processes", [2, 3, 4, 8, 16])
def test_a_broken_one_whose_others_have_little_to_say_does_not_either(processes: int) -> None:
    assert share_of([pulse(**BROKEN), *(pulse() for _ in range(processes - 1))]) == 1


@pytest.mark.parametrize("processes", [1, 2, 3, 4, 8, 16])
@pytest.mark.parametrize(
    "ill",
    [
        {"hold_us": 2 * HOLD_US_MAX},
        {"checkout_us": 2 * CHECKOUT_US_MAX},
        {"payments": 20, "failures": 20},
    ],
    ids=lambda ill: next(iter(ill)),
)
def test_when_all_of_them_suffer_it_goes_slowly(processes: int, ill: dict[str, int]) -> None:
    assert share_of([pulse(**{**WELL, **ill}) for _ in range(processes)]) < 0.1


@pytest.mark.parametrize("processes", [3, 4, 8, 16])
def test_when_most_suffer_it_goes_slowly_though_some_are_well(processes: int) -> None:
    ill = processes // 2 + 1
    pulses = [pulse(**{**WELL, "hold_us": 2 * HOLD_US_MAX}) for _ in range(ill)]
    assert share_of([*pulses, *(pulse(**WELL) for _ in range(processes - ill))]) < 0.1


def test_those_who_serve_nobody_inside_have_no_say() -> None:
    slow = [pulse(hold_us=2 * HOLD_US_MAX) for _ in range(2)]
    assert share_of([*slow, *(pulse() for _ in range(14))]) < 0.1


@pytest.mark.parametrize("processes", [1, 2, 4, 16])
def test_one_buyer_whose_payments_fail_everywhere_is_no_outage(processes: int) -> None:
    for others in (0, 1, 5):
        pulses = [pulse(payments=1 + others, failures=1) for _ in range(processes)]
        assert share_of(pulses) == 1


def test_lag_that_anybody_can_cause_costs_half_at_most_and_not_for_long() -> None:
    late = [pulse(**{**WELL, "lag_us": 100 * LAG_US_MAX}) for _ in range(2)]
    assert share_of(late) == 0.5
    controller, now_s = Controller(), 1_000.0
    for edge in (edge_of(late), edge_of([pulse(**WELL)])):
        until = now_s + 15
        while now_s < until:
            decision = controller.decide(seen(edge=edge), now_s)
            now_s += 1
    assert decision.rate_milli == RATE


def test_lag_does_not_keep_down_what_was_cut_for_another_reason() -> None:
    controller, now_s = Controller(), 1_000.0
    edges = [
        (Edge(hold_us=9 * HOLD_US_MAX), 30),
        (Edge(hold_us=3_000, lag_us=9 * LAG_US_MAX), 30),
    ]
    for edge, seconds in edges:
        for _ in range(seconds):
            decision = controller.decide(seen(edge=edge), now_s)
            now_s += 1
    assert decision.rate_milli == RATE / 2
    assert decision.reason in {"recovering", "edge_slow"}


values = st.fixed_dictionaries(
    {name: st.integers(0, VALUE_MAX) for name in ("hold_us", "checkout_us", "lag_us")}
    | {"payments": st.integers(0, 1_000), "failures": st.integers(0, 1_000)}
)


@given(others=st.lists(values, min_size=2, max_size=12), one=values)
def test_whatever_one_says_it_is_within_what_the_others_say(
    others: list[dict[str, Any]], one: dict[str, Any]
) -> None:
    edge = edge_of([*(pulse(**other) for other in others), pulse(**one)])
    assert edge is not None
    for name in ("hold_us", "checkout_us", "lag_us"):
        said = [other[name] for other in others]
        assert getattr(edge, name) <= max(said)
    assert edge.failures <= sum(other["failures"] for other in others)


def test_a_cut_is_seen_before_the_next() -> None:
    slow = [pulse(hold_us=2 * HOLD_US_MAX)]
    assert share_of(slow, seconds=CUT_EVERY_S) == 0.5
