"""Who shares a budget, and who does not."""

from __future__ import annotations

import ipaddress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.queue.gate.budgets import (
    CHALLENGES,
    GUESTS,
    JOINS,
    NAME_BYTES,
    Budget,
    address_blocks,
    address_budgets,
    budget_key,
    buyer_budget,
)

KEY = budget_key("a secret that is long enough for it")
SOFT, HARD = 300, 3_000


def of_address(address: str | None, hard: int = HARD) -> list[Budget]:
    return address_budgets(KEY, JOINS, address, SOFT, hard)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("203.0.113.7", "203.0.113.250"),
        ("203.0.113.7", "::ffff:203.0.113.8"),
        ("203.0.113.7", "::ffff:cb00:7108"),
        ("203.0.113.7", "64:ff9b::203.0.113.8"),  # NAT64
        ("203.0.113.7", "64:FF9B::cb00:7108"),
        ("203.0.113.7", "2002:cb00:7108::1"),  # 6to4
        ("203.0.113.7", "2002:cb00:7109:ffff:1:2:3:4"),
        ("203.0.113.7", "2001:0:4136:e378:8000:63bf:34ff:8ef7"),  # Teredo: ~203.0.113.8
        ("203.0.113.7", "2001::34ff:8ef5"),
        ("203.0.113.7", "::203.0.113.8"),
        ("2001:db8:1:200::1", "2001:db8:1:200:ffff::1"),
        ("2001:db8::1", "2001:DB8:0:0::2"),
        ("fe80::1%eth0", "fe80::2"),
    ],
)
def test_a_block_shares_its_budgets(one: str, other: str) -> None:
    assert of_address(one) == of_address(other)
    assert of_address(one)


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("203.0.113.7", "203.0.114.7", 0),
        ("2001:db8:1:200::1", "2001:db8:1:201::1", 2),  # the /56 and the /48
        ("2001:db8:1:200::1", "2001:db8:1:300::1", 1),  # the /48
        ("2001:db8:1:200::1", "2001:db8:2:200::1", 0),
        ("203.0.113.7", "cb00:71::", 0),  # the same bytes, of another family
        ("2002:cb00:7108::1", "2002:cb00:7208::1", 0),
        ("2001:1::cb00:7108", "::ffff:203.0.113.8", 0),  # not Teredo
        ("64:ff9b:1::cb00:7108", "::ffff:203.0.113.8", 0),  # of somebody's own translator
    ],
)
def test_another_block_has_another_budget(one: str, other: str, shared: int) -> None:
    names = [{budget.name for budget in of_address(address)} for address in (one, other)]
    assert len(names[0] & names[1]) == shared


@pytest.mark.parametrize(
    "address",
    [
        None,
        "127.0.0.1",
        "127.8.9.10",
        "::1",
        "::",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::127.0.0.1",
        "",
        "a name",
        "1.2.3",
        "1.2.3.4.5",
        "::x",
        "::1\0",
        "/run/socket",
        "\u0661.2.3.4",
    ],
)
def test_loopback_and_what_is_no_address_have_none(address: str | None) -> None:
    assert address_blocks(address) == []
    assert of_address(address) == []


def test_no_limit_is_no_budget() -> None:
    assert of_address("203.0.113.7", hard=0) == []
    assert of_address("2001:db8::7", hard=0) == []


def test_the_wider_the_network_the_more_may_come_of_it() -> None:
    assert [(one.soft, one.hard) for one in of_address("203.0.113.7")] == [(SOFT, HARD)]
    steps = [(one.soft, one.hard) for one in of_address("2001:db8::1")]
    assert steps == [(30, 300), (100, 1_000), (SOFT, HARD)]
    least = address_budgets(KEY, JOINS, "2001:db8::1", 1, 2)
    assert [(one.soft, one.hard) for one in least] == [(1, 1), (1, 1), (1, 2)]


@given(address=st.ip_addresses(v=6), limit=st.integers(1, 10**6))
def test_of_any_address_the_steps_grow_and_fit_a_script(
    address: ipaddress.IPv6Address, limit: int
) -> None:
    blocks = [block for block, _ in address_blocks(str(address))]
    assert len(blocks) <= 3
    for narrow, wide in pairwise(blocks):
        assert narrow.startswith(wide)
    limits = [one.hard for one in address_budgets(KEY, JOINS, str(address), limit, limit)]
    assert limits == sorted(limits)
    assert all(1 <= one <= limit for one in limits)


@given(address=st.ip_addresses(v=6), bits=st.integers(0, 2**80 - 1))
def test_a_48_has_no_more_than_one_budget_at_its_widest(
    address: ipaddress.IPv6Address, bits: int
) -> None:
    network = int(address) >> 80 << 80
    one, other = (
        of_address(str(ipaddress.IPv6Address(network | low))) for low in (bits, bits ^ 2**79)
    )
    if len(one) == len(other) == 3:  # none of them stands for an IPv4 address
        assert one[-1] == other[-1]
        assert one[-1].hard == HARD


def test_names_are_short_keyed_and_of_one_purpose() -> None:
    other = budget_key("another secret that is long enough")
    budgets = [
        *address_budgets(KEY, JOINS, "203.0.113.7", SOFT, HARD),
        *address_budgets(KEY, GUESTS, "203.0.113.7", SOFT, HARD),
        *address_budgets(KEY, CHALLENGES, "203.0.113.7", SOFT, HARD),
        *address_budgets(other, JOINS, "203.0.113.7", SOFT, HARD),
        *address_budgets(KEY, JOINS, "2001:db8::", SOFT, HARD),
        buyer_budget(KEY, CHALLENGES, "0" * 32, 10),
        buyer_budget(KEY, CHALLENGES, "1" * 32, 10),
    ]
    names = {budget.name for budget in budgets}
    assert len(names) == len(budgets) == 9
    assert {len(name) for name in names} == {NAME_BYTES}
