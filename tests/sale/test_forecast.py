from __future__ import annotations

import random

import pytest

from engine.queue.live.forecast import (
    PRIOR,
    Outlook,
    ask_before_opening_ms,
    ask_in_ms,
    chance,
    chance_before_draw,
    coming_back,
    eta,
    outlook,
)

ALL_BUY_TWO = Outlook(buys=1.0, tickets=2.0, variance=0.0)


def test_the_range_goes_from_the_operators_rate_to_behind_what_is_measured() -> None:
    told = eta(99, 5.0, 10.0)
    assert told is not None
    assert (told.from_ms, told.likely_ms, told.to_ms) == (10_000, 20_000, 30_000)


def test_nobody_is_told_less_than_the_operators_rate_allows() -> None:
    told = eta(99, 25.0, 10.0)
    assert told is not None
    assert told.from_ms == told.likely_ms == 10_000
    assert told.to_ms == 12_500


@pytest.mark.parametrize(("measured", "most"), [(0.0, 10.0), (5.0, 0.0), (-1.0, 10.0)])
def test_while_nothing_moves_nothing_is_said(measured: float, most: float) -> None:
    assert eta(3, measured, most) is None


def test_the_next_one_waits_for_one_call() -> None:
    told = eta(0, 2.0, 2.0)
    assert told is not None
    assert told.likely_ms == 500


@pytest.mark.parametrize(
    ("ahead", "free", "back", "people", "expected"),
    [
        (0, 1, 0.0, PRIOR, 100),  # nobody is ahead
        (0, 0, 0.0, PRIOR, 0),
        (1, 0, 0.0, PRIOR, 0),
        (10_000, 10, 0.0, PRIOR, 0),
        (10, 10_000, 0.0, PRIOR, 100),
        (5, 10, 0.0, ALL_BUY_TWO, 0),  # they take all of it
        (5, 11, 0.0, ALL_BUY_TWO, 100),  # one is left
        (7, 3, 0.0, Outlook(buys=0.0, tickets=2.0, variance=1.0), 100),
    ],
)
def test_what_is_certain(
    ahead: int, free: int, back: float, people: Outlook, expected: int
) -> None:
    assert chance(ahead, free, back, people) == expected


def test_the_chance_agrees_with_a_simulation() -> None:
    dice = random.Random(3)  # noqa: S311 - a test's dice
    sizes, weights = (1, 2, 3, 4), (0.25, 0.45, 0.1, 0.2)
    mean = sum(s * w for s, w in zip(sizes, weights, strict=True))
    variance = sum(s * s * w for s, w in zip(sizes, weights, strict=True)) - mean**2
    people = Outlook(buys=0.6, tickets=mean, variance=variance)
    for ahead, free in ((40, 40), (40, 54), (40, 70), (200, 270), (200, 290)):
        trials = 4_000
        left = 0
        for _ in range(trials):
            buyers = sum(dice.random() < people.buys for _ in range(ahead))
            left += sum(dice.choices(sizes, weights, k=buyers)) < free
        assert chance(ahead, free, 0.0, people) == pytest.approx(100 * left / trials, abs=3)


def test_the_chance_falls_with_every_one_ahead_and_rises_with_every_ticket() -> None:
    by_place = [chance(ahead, 100, 20.0, PRIOR) for ahead in range(0, 400, 5)]
    assert by_place == sorted(by_place, reverse=True)
    assert len(set(by_place)) > 5
    by_stock = [chance(60, free, 0.0, PRIOR) for free in range(200)]
    assert by_stock == sorted(by_stock)
    assert chance(60, 80, 30.0, PRIOR) > chance(60, 80, 0.0, PRIOR)


def test_what_may_come_back_is_no_certainty() -> None:
    assert 0 < chance(0, 0, 3.0, PRIOR) < 100


@pytest.mark.parametrize("n", [1, 7, 100, 101, 12_345, 1_000_000])
def test_before_the_draw_the_chance_is_the_mean_over_the_places(n: int) -> None:
    step = max(n // 2_000, 1)
    places = range(0, n, step)
    mean = sum(chance(ahead, 500, 0.0, PRIOR) for ahead in places) / len(places)
    assert chance_before_draw(n, 500, 0.0, PRIOR) == pytest.approx(mean, abs=1.5)


def test_before_the_draw_with_nobody_there_it_is_the_first_places_chance() -> None:
    assert chance_before_draw(0, 5, 0.0, PRIOR) == 100
    assert chance_before_draw(0, 0, 0.0, PRIOR) == 0


def test_the_outlook_moves_from_the_prior_to_what_is_seen() -> None:
    assert outlook(0, 0, 0).buys == PRIOR.buys
    assert outlook(0, 0, 0).tickets == pytest.approx(PRIOR.tickets)
    seen = outlook(900, 1_000, 3_600)
    assert seen.buys == pytest.approx(0.9, abs=0.02)
    assert seen.tickets == pytest.approx(4.0, abs=0.1)
    assert outlook(0, 100_000, 0).buys < 0.001  # nobody comes
    assert outlook(1, 2, 2).buys == pytest.approx(PRIOR.buys, abs=0.03)
    assert outlook(5, 3, 5).buys <= 1  # two reads of a moment: never more than all


@pytest.mark.parametrize(("done", "tickets"), [(0, 100_000), (50, 100_000), (50, 3)])
def test_sales_that_are_not_those_of_the_called_are_not_believed(done: int, tickets: int) -> None:
    assert outlook(done, 100, tickets).tickets == pytest.approx(PRIOR.tickets)


def test_some_of_what_is_held_comes_back() -> None:
    assert coming_back(0) == 0
    assert 0 < coming_back(100) < 50


def test_those_near_the_front_ask_every_second_and_those_far_back_seldom() -> None:
    assert ask_in_ms(3, 2_000, 0.5) == 1_000
    assert ask_in_ms(90_000, 3_600_000, 0.5) == 30_000
    assert 1_000 < ask_in_ms(500, 100_000, 0.5) < 30_000
    assert ask_in_ms(3, None, 0.5) == 1_000
    assert ask_in_ms(1_000_000, None, 0.5) == 30_000


@pytest.mark.parametrize("ahead", [0, 700, 1_000_000])
def test_they_do_not_all_ask_at_once(ahead: int) -> None:
    middle = ask_in_ms(ahead, None, 0.5)
    asked = [ask_in_ms(ahead, None, unit / 100) for unit in range(100)]
    assert min(asked) == pytest.approx(middle * 0.8, rel=0.01)
    assert max(asked) == pytest.approx(middle * 1.2, rel=0.02)
    assert len(set(asked)) == 100


def test_before_the_opening_they_ask_seldom_and_soon_after_it_spread_over_seconds() -> None:
    assert 24_000 <= ask_before_opening_ms(1_800_000, 0.0) <= 36_000
    for opens_in in (-5, 0, 1_000, 10_000, 20_000):
        asked = [ask_before_opening_ms(opens_in, unit / 100) for unit in range(100)]
        assert min(asked) > opens_in
        assert max(asked) < max(opens_in, 0) + 6_000
        assert max(asked) - min(asked) > 3_000
