"""Whose address a request comes from, also behind proxies."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from functools import lru_cache

_HOPS_MAX = 16  # entries that are looked at; no chain of own proxies is as long
_PARSED_MAX = 4_096  # addresses that are kept parsed: proxies come again and again
_HOP_LENGTH_MAX = 64  # with brackets, zone, port and quotes an address has some 60 characters

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# What proxies write: 192.0.2.1, 192.0.2.1:4711, 2001:db8::1, [2001:db8::1], [2001:db8::1]:4711,
# each perhaps in quotes, as RFC 7239 has them.
_HOP = re.compile(
    r'(?P<quote>"?)'
    r"(?:\[(?P<bracketed>[0-9A-Fa-f:.]+(?:%[^\]\s\"]+)?)\](?::[0-9]{1,5})?"
    r"|(?P<v4>[0-9.]+)(?::[0-9]{1,5})?"
    r"|(?P<v6>[0-9A-Fa-f:.]+(?:%[^\s\"]+)?))"
    r"(?P=quote)"
)


class Proxies:
    """The proxies whose ``X-Forwarded-For`` is believed; of everybody else it is ignored.

    ``networks``: comma-separated, as ``10.0.0.0/8, 2001:db8::/32``; empty: nobody's is.
    """

    def __init__(self, networks: str) -> None:
        """Raise ``ValueError`` when one of them is no network."""
        self._networks: tuple[Network, ...] = tuple(
            ipaddress.ip_network(name.strip()) for name in networks.split(",") if name.strip()
        )

    def client(self, peer: str | None, forwarded: Iterable[str]) -> str | None:
        """Return the client's address.

        ``peer``: who is connected; ``forwarded``: all lines of the header, in order. Each
        proxy appends whom it was called by, so from the right the first that is no
        proxy of ours is the client; what is further left is what the client says. A
        port, brackets, quotes and a zone are left out; empty elements do not count.
        """
        if not self._networks or peer is None or not self.trusts(peer):
            return peer
        client = peer
        hops = ",".join(forwarded).rsplit(",", _HOPS_MAX)[-_HOPS_MAX:]
        for hop in reversed(hops):
            written = hop.strip()
            if not written:
                continue
            found = _hop(written)
            if found is None:
                break  # not an address: nobody can say who is behind it
            client = str(found)
            if not self._has(found):
                break
        return client

    def trusts(self, address: str) -> bool:
        """Whether this is one of the proxies."""
        found = _parsed(address)
        return found is not None and self._has(found)

    def _has(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def is_internal(address: str | None) -> bool:
    """Whether an address is none of the Internet: of a private network, a link or this machine."""
    found = None if address is None else _parsed(address)
    return found is not None and not found.is_global


def _hop(written: str) -> Address | None:
    """Return the address of an element of ``X-Forwarded-For``; None: there is none in it."""
    if len(written) > _HOP_LENGTH_MAX:
        return None
    found = _HOP.fullmatch(written)
    if found is None:
        return None
    return _parsed(found["bracketed"] or found["v4"] or found["v6"])


@lru_cache(_PARSED_MAX)
def _parsed(text: str) -> Address | None:
    """Return an address without its zone; IPv4 that is written as IPv6 as what it is."""
    try:
        found = ipaddress.ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found
