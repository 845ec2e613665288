"""Every promise that the demo makes: broken, it is named, and the exit code is 1."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from devkit.demo.figures import Stopwatch, percentile
from devkit.demo.line_proof import LineFacts
from devkit.demo.line_report import make_line_report, tenths
from devkit.demo.line_tally import LineTally
from devkit.demo.personas import _ENDINGS, _IN_LINE, draw
from devkit.demo.proof import charged_twice, lost
from devkit.demo.report import Report, make_report, peak, show
from devkit.demo.tally import Purchase, Tally
from devkit.demo.verdict import Facts, broken
from engine.audit.fairness import fairness
from engine.payments.provider import Intent
from engine.sale.documents import Order


def facts(**changes: Any) -> Facts:
    values: dict[str, Any] = {
        "capacity": {"Stalls": 10, "Standing": 5},
        "sold": {"Stalls": 10, "Standing": 5},
    }
    return Facts(**{**values, **changes})


def report(found: Facts) -> Report:
    return make_report(
        occurrence="0" * 32,
        buyers=20,
        seed=1,
        seconds=12.0,
        names={"stalls": "Stalls", "standing": "Standing"},
        sold={"stalls": 10, "standing": 5},
        tally=Tally(15, Stopwatch()),
        facts=found,
        line=make_line_report(
            LineTally({}),
            LineFacts(fairness=fairness([]), drawn=0, later=0, checked=0, wrong=found.draw),
        ),
    )


def test_with_every_promise_kept_the_exit_code_is_0() -> None:
    assert broken(facts()) == []
    assert report(facts()).exit_code == 0


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"sold": {"Stalls": 11, "Standing": 4}}, "oversold: 1"),
        ({"seats_twice": ["A-1-1"]}, "oversold: 1"),
        ({"sold": {"Stalls": 10, "Standing": 4}}, "not sold out: 14 of 15"),
        ({"lost": ["order"]}, "lost: 1"),
        ({"charged_twice": ["buyer"]}, "charged twice: 1"),
        ({"missing": ["order"]}, "not in PostgreSQL: 1"),
        ({"unwritten": 3}, "not written behind: 3"),
        ({"audit": ["stock: 1 is not 2"]}, "the audit: 1"),
        ({"inversions": ["number 7 came in when 6 were called"]}, "unfair: 1"),
        ({"draw": ["another seed was drawn with"]}, "the draw: 1"),
        ({"seen": ["a buyer has two orders"]}, "two orders"),
        ({"errors": ["buyer-1: 500"]}, "errors: 1"),
    ],
)
def test_a_broken_promise_is_named_and_makes_exit_code_1(
    changes: dict[str, Any], says: str
) -> None:
    found = report(facts(**changes))
    assert any(says in sentence for sentence in found.broken), found.broken
    assert found.exit_code == 1
    text = StringIO()
    show(found, Console(file=text, width=200))
    assert says in text.getvalue()
    assert "Every promise was kept" not in text.getvalue()


def intent(order: str, captured: int, refunded: int = 0) -> Intent:
    return Intent(
        id=f"pi_{order}_{captured}",
        order=order,
        occurrence="o",
        status="succeeded",
        amount=captured,
        currency="eur",
        captured=captured,
        refunded=refunded,
    )


def order(name: str, buyer: str, state: str, total: int = 100) -> Order:
    values: dict[str, Any] = dict.fromkeys(
        ("discount", "platform_fee", "payment_fee", "tax", "shard"), 0
    )
    return Order(
        id=name,
        occurrence="o",
        sequence=1,
        buyer=buyer,
        hold="h",
        state=state,  # type: ignore[arg-type] # the parameters are states
        version=1,
        currency="EUR",
        lines=[],
        subtotal=total,
        total=total,
        placed_at=1,
        pay_by=1,
        **values,
    )


def bought(*paid: str) -> Tally:
    tally = Tally(1, Stopwatch())
    for name in paid:
        tally.purchases[name] = Purchase(
            order=name, buyer="b", total=100, tickets=1, paid=True, state="confirmed"
        )
    return tally


@pytest.mark.parametrize(
    ("state", "captured", "refunded", "is_lost"),
    [
        ("confirmed", 100, 0, False),
        ("refunded", 100, 100, False),
        ("pending", 100, 0, True),
        ("cancelled", 100, 0, True),
        ("refunded", 100, 0, True),
        ("confirmed", 100, 100, True),
        ("cancelled", 0, 0, True),  # the provider said that it was paid, and has nothing
    ],
)
def test_money_is_tickets_or_a_refund(
    state: str, captured: int, refunded: int, is_lost: bool
) -> None:
    found = lost(bought("a"), {"a": state}, [intent("a", captured, refunded)])
    assert found == (["a"] if is_lost else [])


def test_money_of_an_order_that_nobody_knows_is_lost() -> None:
    assert lost(bought(), {}, [intent("a", 100)]) == ["a"]


@pytest.mark.parametrize(
    ("intents", "twice"),
    [
        ([intent("a", 100)], []),
        ([intent("a", 100), intent("a", 100)], ["ada"]),
        ([intent("a", 100), intent("b", 100)], ["ada"]),
        ([intent("a", 100), intent("b", 100, 100)], []),
        ([intent("a", 101)], ["ada"]),
    ],
)
def test_a_buyer_pays_for_what_they_have(intents: list[Intent], twice: list[str]) -> None:
    orders = {"a": order("a", "ada", "confirmed"), "b": order("b", "ada", "cancelled")}
    assert charged_twice(orders, intents) == twice


def test_a_percentile_is_the_nearest_rank() -> None:
    values = [float(n) for n in range(100, 0, -1)]
    assert [percentile(values, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]
    assert percentile([7.0], 0.01) == 7.0
    assert percentile([], 0.5) == 0.0


def test_the_peak_is_the_fullest_window() -> None:
    assert peak([], 5.0) == 0.0
    assert peak([0, 1, 2, 20, 21, 22, 23, 24, 40], 5.0) == 1.0


def test_the_same_seed_brings_the_same_buyers_and_all_kinds_of_them() -> None:
    assert draw(500, 7) == draw(500, 7)
    assert draw(500, 7) != draw(500, 8)
    assert {persona.ending for persona in draw(500, 7)} == set(_ENDINGS)
    assert {persona.in_line for persona in draw(500, 7)} == set(_IN_LINE)
    assert min(persona.arrives_s for persona in draw(500, 7)) < 0


def test_waiting_times_are_told_by_tenths_of_the_numbers() -> None:
    found = tenths([(number, number / 10) for number in range(100, 0, -1)])
    assert [(part.first, part.last) for part in found[:2]] == [(1, 10), (11, 20)]
    assert [part.count for part in found] == [10] * 10
    assert (found[0].p50_s, found[0].max_s) == (0.5, 1.0)
    assert [part.count for part in tenths([(5, 1.0), (3, 2.0)])] == [1, 1]
    assert tenths([]) == []
