"""Who shares a budget, and who does not."""

from __future__ import annotations

import pytest

from engine.sale.waiting.budgets import (
    GUESTS,
    JOINS,
    NAME_BYTES,
    Budget,
    address_block,
    address_budget,
    budget_key,
    email_budget,
    normalised_email,
)

KEY = budget_key("a secret that is long enough for it")
SOFT, HARD = 300, 3_000


def of_address(address: str | None, hard: int = HARD) -> Budget | None:
    return address_budget(KEY, JOINS, address, SOFT, hard)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("203.0.113.7", "203.0.113.250"),
        ("203.0.113.7", "::ffff:203.0.113.8"),
        ("2001:db8:1:200::1", "2001:db8:1:2ff:ffff::1"),
        ("2001:db8::1", "2001:DB8:0:0::2"),
        ("fe80::1%eth0", "fe80::2"),
    ],
)
def test_a_block_shares_a_budget(one: str, other: str) -> None:
    assert of_address(one) == of_address(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("203.0.113.7", "203.0.114.7"),
        ("2001:db8:1:200::1", "2001:db8:1:300::1"),
        ("203.0.113.7", "cb00:71::"),  # the same bytes, of another family
    ],
)
def test_another_block_has_another_budget(one: str, other: str) -> None:
    first, second = of_address(one), of_address(other)
    assert first is not None
    assert second is not None
    assert first.name != second.name


@pytest.mark.parametrize(
    "address",
    [
        None,
        "127.0.0.1",
        "127.8.9.10",
        "::1",
        "::ffff:127.0.0.1",
        "",
        "a name",
        "1.2.3",
        "1.2.3.4.5",
    ],
)
def test_loopback_and_what_is_no_address_have_none(address: str | None) -> None:
    assert address_block(address) is None
    assert of_address(address) is None


def test_no_limit_is_no_budget() -> None:
    assert of_address("203.0.113.7", hard=0) is None


def test_a_home_has_less_than_an_operators_nat() -> None:
    nat, home = of_address("203.0.113.7"), of_address("2001:db8::1")
    assert nat is not None
    assert home is not None
    assert (nat.soft, nat.hard) == (SOFT, HARD)
    assert (home.soft, home.hard) == (30, 300)
    least = address_budget(KEY, JOINS, "2001:db8::1", 1, 2)
    assert least is not None
    assert (least.soft, least.hard) == (1, 1)


def test_names_are_short_keyed_and_of_one_purpose() -> None:
    other = budget_key("another secret that is long enough")
    budgets = [
        address_budget(KEY, JOINS, "203.0.113.7", SOFT, HARD),
        address_budget(KEY, GUESTS, "203.0.113.7", SOFT, HARD),
        address_budget(other, JOINS, "203.0.113.7", SOFT, HARD),
        email_budget(KEY, "a@example.org", 2, 10),
    ]
    names = {budget.name for budget in budgets if budget is not None}
    assert len(names) == len(budgets)
    assert {len(name) for name in names} == {NAME_BYTES}


@pytest.mark.parametrize(
    ("written", "normalised"),
    [
        ("Ada@Example.org", "ada@example.org"),
        (" ada@example.org ", "ada@example.org"),
        ("ada+tickets@example.org", "ada@example.org"),
        ("ada+a+b@example.org", "ada@example.org"),
        ("a.d.a@example.org", "a.d.a@example.org"),
        ("a.d.a@gmail.com", "ada@gmail.com"),
        ("A.da+x@GoogleMail.com", "ada@gmail.com"),
        ("+all@example.org", "+all@example.org"),
        ("ada", "@ada"),
        ("a@b@example.org", "a@b@example.org"),
    ],
)
def test_spellings_of_a_mailbox_are_one(written: str, normalised: str) -> None:
    assert normalised_email(written) == normalised
    assert email_budget(KEY, written, 2, 10) == email_budget(KEY, normalised, 2, 10)
