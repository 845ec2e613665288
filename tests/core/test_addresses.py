"""Whose address counts, with and without proxies in front."""

from __future__ import annotations

import pytest

from engine.core.addresses import Proxies

PROXY, OTHER_PROXY, CLIENT, STRANGER = "10.0.0.1", "10.0.0.2", "203.0.113.7", "198.51.100.9"


@pytest.mark.parametrize(
    ("networks", "peer", "forwarded", "expected"),
    [
        # nobody is trusted: whoever is connected is the client
        ("", STRANGER, [CLIENT], STRANGER),
        ("", None, [CLIENT], None),
        # a stranger's header is ignored
        ("10.0.0.0/8", STRANGER, [CLIENT], STRANGER),
        ("10.0.0.0/8", PROXY, [CLIENT], CLIENT),
        # what the client has made up is further left
        ("10.0.0.0/8", PROXY, [f"{STRANGER}, {CLIENT}"], CLIENT),
        ("10.0.0.0/8", PROXY, [STRANGER, CLIENT], CLIENT),
        ("10.0.0.0/8", PROXY, [f"{CLIENT}, {OTHER_PROXY}"], CLIENT),
        ("10.0.0.0/8", PROXY, [f"{CLIENT},{OTHER_PROXY}", OTHER_PROXY], CLIENT),
        # no header, an empty one, nonsense: the last that is known
        ("10.0.0.0/8", PROXY, [], PROXY),
        ("10.0.0.0/8", PROXY, [""], PROXY),
        ("10.0.0.0/8", PROXY, [f"{CLIENT}, unknown"], PROXY),
        ("10.0.0.0/8", PROXY, [f"{CLIENT}, unknown, {OTHER_PROXY}"], OTHER_PROXY),
        # all of them proxies: the outermost
        ("10.0.0.0/8", PROXY, [f"10.9.9.9, {OTHER_PROXY}"], "10.9.9.9"),
        ("10.0.0.1, 2001:db8::/32", "2001:db8::5", ["2001:db9::7"], "2001:db9::7"),
        ("10.0.0.0/8", "::ffff:10.0.0.1", [CLIENT], CLIENT),
        ("10.0.0.0/8", "a name", [CLIENT], "a name"),
    ],
)
def test_the_right_most_that_is_no_proxy_of_ours_is_the_client(
    networks: str, peer: str | None, forwarded: list[str], expected: str | None
) -> None:
    assert Proxies(networks).client(peer, forwarded) == expected


def test_a_long_chain_is_not_walked_to_its_end() -> None:
    chain = ", ".join([CLIENT, *[OTHER_PROXY] * 10_000])
    assert Proxies("10.0.0.0/8").client(PROXY, [chain]) == OTHER_PROXY


@pytest.mark.parametrize("networks", ["10.0.0.1/8", "proxy", "10.0.0.0/33"])
def test_what_is_no_network_is_refused(networks: str) -> None:
    with pytest.raises(ValueError, match=networks.partition("/")[0]):
        Proxies(networks)
