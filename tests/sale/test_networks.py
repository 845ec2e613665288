"""Which guests are of one network."""

from __future__ import annotations

import re

import pytest

from engine.queue.gate.networks import network_name

KEY = b"k" * 32


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("203.0.113.7", "203.0.113.250", True),
        ("203.0.113.7", "::ffff:203.0.113.250", True),
        ("203.0.113.7", "203.0.114.7", False),
        ("2001:db8:1:200::1", "2001:db8:1:ff00::1", True),  # another /56 of the same /48
        ("2001:db8:1::1", "2001:db8:2::1", False),
        ("203.0.113.7", "cb00:71::", False),
    ],
)
def test_a_network_is_24_bits_of_ipv4_and_48_of_ipv6(one: str, other: str, same: bool) -> None:
    assert (network_name(KEY, one) == network_name(KEY, other)) is same


@pytest.mark.parametrize("address", [None, "", "127.0.0.1", "::1", "unix"])
def test_what_everybody_shares_is_no_network(address: str | None) -> None:
    assert network_name(KEY, address) is None


def test_a_name_tells_no_address() -> None:
    name = network_name(KEY, "203.0.113.7")
    assert name is not None
    assert re.fullmatch("[0-9a-f]{16}", name)
    assert name != network_name(b"another key", "203.0.113.7")
