"""Ratios, verdicts and the exit code."""

from __future__ import annotations

from io import StringIO

import orjson
import pytest
from rich.console import Console

from loadtest.bench.results import Figure, Ratio, Results
from loadtest.bench.show import amount, show


def ratio(measured: list[float], limit: list[float], *, at_most: bool = False) -> Ratio:
    return Ratio(
        name="r",
        title="something",
        unit="things/s",
        limit_title="a limit",
        measured=measured,
        limit=limit,
        must=4 if at_most else 0.75,
        aim=2 if at_most else 0.95,
        at_most=at_most,
    )


def results(*ratios: Ratio, failures: list[str] | None = None) -> Results:
    return Results(
        started_at="now", machine={}, options={}, ratios=list(ratios), failures=failures or []
    )


def test_a_ratio_is_the_median_of_its_rounds() -> None:
    # the machine was half as fast in the second round, and one round went wrong
    found = ratio([80, 40, 10], [100, 50, 100])
    assert found.value == 0.8
    assert found.spread == (0.1, 0.8)


@pytest.mark.parametrize(
    ("measured", "verdict"),
    [(74, "missed"), (74.6, "must"), (75, "must"), (94, "must"), (95, "aim"), (120, "aim")],
)
def test_a_ratio_is_compared_with_must_and_aim(measured: float, verdict: str) -> None:
    assert ratio([measured], [100]).verdict == verdict


@pytest.mark.parametrize(
    ("measured", "verdict"), [(4.01, "missed"), (4, "must"), (2, "aim"), (1, "aim")]
)
def test_a_cost_is_compared_the_other_way_round(measured: float, verdict: str) -> None:
    assert ratio([measured], [1], at_most=True).verdict == verdict


def test_a_missed_must_and_a_failure_are_exit_code_1() -> None:
    good, bad = ratio([90], [100]), ratio([10], [100])
    assert results(good).exit_code == 0
    assert results(good, bad).exit_code == 1
    assert results(good, failures=["holds: the stock does not agree"]).exit_code == 1


def test_the_document_has_what_is_derived() -> None:
    document = orjson.loads(orjson.dumps(results(ratio([90, 80], [100, 100])).document()))
    (found,) = document["ratios"]
    assert found["value"] == pytest.approx(0.85)
    assert (found["measured_median"], found["limit_median"]) == (85, 100)
    assert (found["verdict"], found["must"], found["aim"]) == ("must", 0.75, 0.95)
    assert document["exit_code"] == 0


def test_the_tables_say_what_was_missed() -> None:
    found = results(ratio([10], [100]), failures=["fsync: [wrk] is missing"])
    found.figures.append(Figure(name="f", title="a figure", value=1234.5, unit="s"))
    text = StringIO()
    show(found, Console(file=text, width=160))
    for part in ("MISSED", "0.10", "0.75", "0.95", "10.00 / 100", "1,234 s", "[wrk] is missing"):
        assert part in text.getvalue()


@pytest.mark.parametrize(
    ("value", "text"), [(0.5, "0.50"), (99.994, "99.99"), (12_345.6, "12,346")]
)
def test_amounts_are_short(value: float, text: str) -> None:
    assert amount(value) == text
