"""How many of a network are taken lately: guests, joins, challenges.

A name is a keyed digest of 8 bytes: Redis learns no address, and what is the
same network for one purpose is another for the next. Beyond ``soft`` a place is
given in the slow lane, beyond ``hard`` none (the windows of 10 minutes are kept
by ``lua/includes/budget.lua``). docs/adr/0016 has the reasons and figures.
"""

from __future__ import annotations

import hashlib
import socket
from typing import Final

import msgspec

WINDOW_MS = 600_000
NAME_BYTES = 8  # two of a million names meet with a chance of 3e-8; then they share a budget

JOINS, GUESTS, CHALLENGES = b"joins", b"guests", b"challenges"  # what is counted of an address

_IPV4_BYTES = 3  # /24: what an operator's NAT, a company or a rented rack share
# Bytes of a block of IPv6, and what part of a /24 of IPv4 may come of it: a /64 is a home's network
# or one telephone, a /56 what a home line gets (RIPE-690, 4.2), a /48 what a company gets, a tunnel
# broker gives away, and a mobile operator fills with telephones.
_IPV6_STEPS: Final = ((8, 10), (7, 3), (6, 1))

_MAPPED = bytes(10) + b"\xff\xff"  # ::ffff:1.2.3.4 is 1.2.3.4
_COMPATIBLE = bytes(12)  # ::1.2.3.4, deprecated
_NAT64 = b"\x00\x64\xff\x9b" + bytes(8)  # 64:ff9b::1.2.3.4 (RFC 6052)
_SIX_TO_FOUR = b"\x20\x02"  # 2002:102:304::/48 is had with 1.2.3.4 (RFC 3056)
_TEREDO = b"\x20\x01\x00\x00"  # the client's address stands inverted at the end (RFC 4380)
_LOOPBACK_V4 = 127


class Budget(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """``name``: 8 bytes; ``soft``, ``hard``: how many of it in 10 minutes, at least 1."""

    name: bytes
    soft: int
    hard: int


def budget_key(secret: str) -> bytes:
    """Return the key of the digests, 32 bytes, from the secret that signs tokens."""
    return hashlib.blake2b(secret.encode(), digest_size=32, person=b"onsale budgets").digest()


def address_budgets(
    key: bytes, purpose: bytes, address: str | None, soft: int, hard: int
) -> list[Budget]:
    """Return the budgets of the blocks of an address, the widest last; ``purpose``: of what.

    ``soft``, ``hard``: of the widest. None when there are none: ``hard`` is 0, or the
    address is not known, or it is one of this machine, which everybody shares who
    tries things out on it, or a proxy that is not named in the settings.
    """
    if not hard:
        return []
    return [
        Budget(
            name=_name(key, purpose, block),
            soft=max(soft // part, 1),
            hard=max(hard // part, 1),
        )
        for block, part in address_blocks(address)
    ]


def buyer_budget(key: bytes, purpose: bytes, buyer: str, limit: int) -> Budget:
    """Return the budget of one buyer."""
    return Budget(name=_name(key, purpose, bytes.fromhex(buyer)), soft=limit, hard=limit)


def address_blocks(address: str | None) -> list[tuple[bytes, int]]:
    """Return the blocks that an address is in, the widest last, and for how small a part each is.

    Of IPv4 one of 3 bytes, of IPv6 those of 8, 7 and 6. An IPv4 address that is written
    as IPv6, or that an IPv6 address is made of, counts as what it is. None for
    loopback and for what is no address.
    """
    if address is None:
        return []
    try:
        if ":" not in address:
            return _ipv4_blocks(socket.inet_pton(socket.AF_INET, address))
        packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    except (OSError, ValueError):  # a zero byte is a ValueError
        return []
    if packed[:-1] == bytes(15):  # :: and ::1
        return []
    within = _ipv4_within(packed)
    if within is not None:
        return _ipv4_blocks(within)
    return [(packed[:length], part) for length, part in _IPV6_STEPS]


def _ipv4_within(packed: bytes) -> bytes | None:
    """Return the IPv4 address that an IPv6 address stands for."""
    if packed.startswith((_MAPPED, _NAT64, _COMPATIBLE)):
        return packed[12:]
    if packed.startswith(_SIX_TO_FOUR):
        return packed[2:6]
    if packed.startswith(_TEREDO):
        return bytes(byte ^ 0xFF for byte in packed[12:])
    return None


def _ipv4_blocks(packed: bytes) -> list[tuple[bytes, int]]:
    return [] if packed[0] == _LOOPBACK_V4 else [(packed[:_IPV4_BYTES], 1)]


def _name(key: bytes, purpose: bytes, value: bytes) -> bytes:
    return hashlib.blake2b(value, digest_size=NAME_BYTES, key=key, person=purpose).digest()
