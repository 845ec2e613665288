"""Whose address counts, with and without proxies in front."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.addresses import Proxies, is_internal

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
        # what proxies write beside the address
        ("10.0.0.0/8", PROXY, [f"{CLIENT}:4711"], CLIENT),
        ("10.0.0.0/8", PROXY, [f"{STRANGER}, {CLIENT}:1, {OTHER_PROXY}:65535"], CLIENT),
        ("10.0.0.0/8", PROXY, ["[2001:db8::7]:443"], "2001:db8::7"),
        ("10.0.0.0/8", PROXY, ["[2001:DB8:0::7]"], "2001:db8::7"),
        ("10.0.0.0/8", PROXY, ['"[2001:db8::7]:443"'], "2001:db8::7"),
        ("10.0.0.0/8", PROXY, [f'"{CLIENT}:80"'], CLIENT),
        ("10.0.0.0/8", PROXY, ["fe80::7%eth0"], "fe80::7"),
        ("10.0.0.0/8", PROXY, ["[fe80::7%25eth0]:80"], "fe80::7"),
        ("10.0.0.0/8", PROXY, [f"::ffff:{CLIENT}"], CLIENT),
        ("10.0.0.0/8", PROXY, [f"[::ffff:{CLIENT}]:80"], CLIENT),
        ("10.0.0.0/8", PROXY, [f"{CLIENT}, ::ffff:10.0.0.2"], CLIENT),
        ("10.0.0.0/8", PROXY, [f"  \t{CLIENT}\t "], CLIENT),
        # empty elements are none
        ("10.0.0.0/8", PROXY, [f"{STRANGER}, {CLIENT}, , ,"], CLIENT),
        ("10.0.0.0/8", PROXY, [STRANGER, f",{CLIENT},", "", " "], CLIENT),
        # nonsense is nobody's address, and what is further left is not looked at
        *(
            ("10.0.0.0/8", PROXY, [f"{CLIENT}, {nonsense}"], PROXY)
            for nonsense in (
                "_hidden",
                f"{STRANGER}:",
                f"{STRANGER}:http",
                f"{STRANGER}:123456",
                f"{STRANGER} 80",
                f"{STRANGER};",
                f'"{STRANGER}',
                f'{STRANGER}"',
                f"for={STRANGER}",
                "[2001:db8::7",
                "2001:db8::7]",
                "[2001:db8::7]80",
                "[203.0.113.9",
                "1.2.3",
                "1.2.3.4.5",
                "010.1.1.1",
                "256.1.1.1",
                "1:2:3:4:5:6:7:8:9",
                "\u0661.2.3.4",
                "0x7f000001",
                "x" * 100_000,
                "1" * 65,
            )
        ),
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


def test_commas_cost_little() -> None:
    assert Proxies("10.0.0.0/8").client(PROXY, ["," * 100_000, CLIENT]) == CLIENT
    assert Proxies("10.0.0.0/8").client(PROXY, [CLIENT, "," * 100_000]) == PROXY


@given(
    client=st.ip_addresses(),
    made_up=st.lists(st.text(), max_size=3),
    port=st.none() | st.integers(1, 65_535),
)
def test_whatever_a_client_makes_up_the_proxy_names_it(
    client: ipaddress.IPv4Address | ipaddress.IPv6Address, made_up: list[str], port: int | None
) -> None:
    proxies = Proxies("10.9.0.0/16")
    alone = proxies.client("10.9.0.1", [str(client)])
    written = f"[{client}]" if client.version == 6 else str(client)
    last = written if port is None else f"{written}:{port}"
    assert proxies.client("10.9.0.1", [*made_up, last]) == alone
    mapped = getattr(client, "ipv4_mapped", None)
    if alone != "10.9.0.1" and not proxies.trusts(str(client)):
        assert alone == str(mapped or client)


@pytest.mark.parametrize(
    ("address", "internal"),
    [
        ("127.0.0.1", True),
        ("172.30.88.1", True),
        ("100.64.0.1", True),
        ("::1", True),
        ("fd00::1", True),
        ("fe80::1%eth0", True),
        ("::ffff:10.0.0.1", True),
        ("8.8.8.8", False),
        ("2606:4700::1111", False),
        ("a name", False),
        ("", False),
        (None, False),
    ],
)
def test_what_is_none_of_the_internet(address: str | None, internal: bool) -> None:
    assert is_internal(address) is internal


@pytest.mark.parametrize("networks", ["10.0.0.1/8", "proxy", "10.0.0.0/33"])
def test_what_is_no_network_is_refused(networks: str) -> None:
    with pytest.raises(ValueError, match=networks.partition("/")[0]):
        Proxies(networks)
