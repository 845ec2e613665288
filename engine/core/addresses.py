"""Whose address a request comes from, also behind proxies."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

_HOPS_MAX = 16  # entries that are looked at; no chain of own proxies is as long

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


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
        proxy of ours is the client; what is further left is what the client says.
        """
        if not self._networks or peer is None or not self._trusted(peer):
            return peer
        client = peer
        hops = ",".join(forwarded).split(",")
        for hop in reversed(hops[-_HOPS_MAX:]):
            try:
                client = str(_address(hop))
            except ValueError:
                break  # not an address: nobody can say who is behind it
            if not self._trusted(client):
                break
        return client

    def _trusted(self, address: str) -> bool:
        try:
            found = _address(address)
        except ValueError:
            return False
        return any(found in network for network in self._networks)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    found = ipaddress.ip_address(text.strip())
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped
    return found
