"""How many joins of one account, block of addresses or e-mail are taken lately.

A name is a keyed digest of 8 bytes: Redis learns neither addresses nor e-mails,
and what is the same person for one purpose is somebody else for another. Beyond
``soft`` a place is given in the slow lane, beyond ``hard`` none (the windows of
10 minutes are kept by ``lua/includes/budget.lua``).
"""

from __future__ import annotations

import hashlib
import socket

import msgspec

WINDOW_MS = 600_000
NAME_BYTES = 8  # two of a million names meet with a chance of 3e-8; then they share a budget

JOINS, GUESTS = b"joins", b"guests"  # what is counted of an address

_IPV4_BYTES = 3  # /24: what an operator's NAT, a company or a rented rack share
# /56 is what a home line gets (RIPE-690, 4.2); by /64, each such line would have 256 budgets.
_IPV6_BYTES = 7
# Behind a /24 of a mobile operator are tens of thousands of people, behind a /56 is one home.
_IPV6_SHARE = 10
_MAPPED = bytes(10) + b"\xff\xff"  # ::ffff:1.2.3.4 is 1.2.3.4
_LOOPBACK_V4, _LOOPBACK_V6 = 127, bytes(15) + b"\x01"


class Budget(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """``name``: 8 bytes; ``soft``, ``hard``: joins of it in 10 minutes, at least 1."""

    name: bytes
    soft: int
    hard: int


def budget_key(secret: str) -> bytes:
    """Return the key of the digests, 32 bytes, from the secret that signs tokens."""
    return hashlib.blake2b(secret.encode(), digest_size=32, person=b"onsale budgets").digest()


def address_budget(
    key: bytes, purpose: bytes, address: str | None, soft: int, hard: int
) -> Budget | None:
    """Return the budget of the block of an address; ``purpose``: what is counted.

    None when there is none: ``hard`` is 0, or the address is not known, or it is
    one of this machine, which everybody shares who tries things out on it, or a
    proxy that is not named in the settings.
    """
    found = address_block(address) if hard else None
    if found is None:
        return None
    if len(found) == _IPV6_BYTES:
        soft, hard = max(soft // _IPV6_SHARE, 1), max(hard // _IPV6_SHARE, 1)
    return Budget(name=_name(key, purpose, found), soft=soft, hard=hard)


def email_budget(key: bytes, email: str, soft: int, hard: int) -> Budget:
    """Return the budget of a guest's e-mail."""
    name = _name(key, b"e-mail", normalised_email(email).encode())
    return Budget(name=name, soft=soft, hard=hard)


def address_block(address: str | None) -> bytes | None:
    """Return the block of an address: 3 bytes of IPv4, 7 of IPv6; None for loopback and no address.

    An IPv4 address that is written as IPv6 counts as what it is.
    """
    if address is None:
        return None
    try:
        if ":" not in address:
            return _ipv4_block(socket.inet_pton(socket.AF_INET, address))
        packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    except OSError:
        return None
    if packed.startswith(_MAPPED):
        return _ipv4_block(packed[len(_MAPPED) :])
    return None if packed == _LOOPBACK_V6 else packed[:_IPV6_BYTES]


def _ipv4_block(packed: bytes) -> bytes | None:
    return None if packed[0] == _LOOPBACK_V4 else packed[:_IPV4_BYTES]


_DOTLESS = {"gmail.com": "gmail.com", "googlemail.com": "gmail.com"}  # where dots do not count


def normalised_email(email: str) -> str:
    """Return what all spellings of one mailbox have in common.

    Case does not count, nor does what follows a plus sign; at Gmail, dots do not either.
    """
    local, _, domain = email.strip().lower().rpartition("@")
    local = local.partition("+")[0] or local
    if domain in _DOTLESS:
        local, domain = local.replace(".", ""), _DOTLESS[domain]
    return f"{local}@{domain}"


def _name(key: bytes, purpose: bytes, value: bytes) -> bytes:
    return hashlib.blake2b(value, digest_size=NAME_BYTES, key=key, person=purpose).digest()
