"""Identifiers: random ids, and the human-readable numbers of orders and tickets.

Every id of the system is a UUIDv7 written as 32 lower-case hex digits, in
JSON, in Redis keys and in records; PostgreSQL stores it as ``uuid``.

Order and ticket numbers must be unique without asking PostgreSQL and must not
tell how many have been sold. So the store counts orders per shard, and the
number is that count sent through a fixed bijection (an affine map followed by
a xor-shift, all modulo a power of two, so every step can be undone).
"""

from __future__ import annotations

import os
import re
import time
from datetime import UTC, datetime
from functools import lru_cache

_ID = re.compile(r"[0-9a-f]{32}")
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford base 32: no I, L, O, U
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]  # two digits at once: half the work
_ID_RANDOM_BYTES = 10
_PARTS = 256
_SHARD_BITS = 4
_ORDER_BITS = 30  # six characters
_TICKET_BITS = 40  # eight characters
_TICKET_INDEX_BITS = 10
TICKETS_PER_ORDER_MAX = 1 << _TICKET_INDEX_BITS
_ORDER_MULTIPLIER = 0x2545F491 | 1
_TICKET_MULTIPLIER = 0x9E3779B97F | 1
_ORDER_OFFSET = 0x1B873593
_TICKET_OFFSET = 0x5851F42D4C


class _Randomness:
    """The random parts of ids, made many at a time: asking the system for each is 4 us.

    ``take`` runs without interruption in one thread, the event loop's; a forked
    child begins with parts of its own, so that no two processes share any.
    """

    def __init__(self) -> None:
        self._parts: list[str] = []
        os.register_at_fork(after_in_child=self._parts.clear)

    def take(self) -> str:
        """Return twenty hex digits that nobody else has: version 7, and the variant (RFC 9562)."""
        if not self._parts:
            text = os.urandom(_ID_RANDOM_BYTES * _PARTS).hex()
            for at in range(0, len(text), 2 * _ID_RANDOM_BYTES):
                variant = "89ab"[int(text[at + 4], 16) & 3]
                self._parts.append(f"7{text[at + 1 : at + 4]}{variant}{text[at + 5 : at + 20]}")
        return self._parts.pop()


_take = _Randomness().take


def new_id() -> str:
    """Return a new UUIDv7 as 32 hex digits; ids made later sort later (to the millisecond)."""
    return f"{time.time_ns() // 1_000_000:012x}{_take()}"


def is_id(text: str) -> bool:
    """Tell whether ``text`` has the form of an id."""
    return _ID.fullmatch(text) is not None


def _scramble(value: int, bits: int, multiplier: int, offset: int) -> int:
    mask = (1 << bits) - 1
    value = (value * multiplier + offset) & mask
    value ^= value >> (bits // 2)
    return (value * multiplier) & mask


def _unscramble(value: int, bits: int, multiplier: int, offset: int) -> int:
    mask = (1 << bits) - 1
    inverse = pow(multiplier, -1, 1 << bits)
    value = (value * inverse) & mask
    value ^= value >> (bits // 2)
    return ((value - offset) * inverse) & mask


@lru_cache(maxsize=64)
def _day(day: int) -> str:
    return datetime.fromtimestamp(day * 86_400, UTC).strftime("%Y%m%d")


def order_number(shard: int, sequence: int, placed_at_ms: int) -> str:
    """Return ``ONS-YYYYMMDD-XXXXXX`` for the ``sequence``-th order (from 1) of a shard.

    Unique for 2**26 orders a shard. ``placed_at_ms``: ms since the epoch; the date is UTC.
    """
    if not 0 < sequence < 1 << (_ORDER_BITS - _SHARD_BITS):
        raise ValueError(f"order sequence {sequence} is out of range")
    value = _scramble(
        sequence << _SHARD_BITS | shard, _ORDER_BITS, _ORDER_MULTIPLIER, _ORDER_OFFSET
    )
    digits = f"{_PAIRS[value >> 20]}{_PAIRS[value >> 10 & 1023]}{_PAIRS[value & 1023]}"
    return f"ONS-{_day(placed_at_ms // 86_400_000)}-{digits}"


def order_sequence(number: str) -> tuple[int, int]:
    """Return ``(shard, sequence)`` of an order number: the inverse of :func:`order_number`."""
    value = 0
    for char in number.rsplit("-", 1)[1]:
        value = value << 5 | _ALPHABET.index(char)
    value = _unscramble(value, _ORDER_BITS, _ORDER_MULTIPLIER, _ORDER_OFFSET)
    return value & ((1 << _SHARD_BITS) - 1), value >> _SHARD_BITS


def ticket_number(shard: int, sequence: int, index: int) -> str:
    """Return ``TKT-XXXXXXXX`` for the ``index``-th ticket (from 0) of an order."""
    if not 0 <= index < TICKETS_PER_ORDER_MAX:
        raise ValueError(f"ticket index {index} is out of range")
    order = sequence << _SHARD_BITS | shard
    value = _scramble(
        order << _TICKET_INDEX_BITS | index, _TICKET_BITS, _TICKET_MULTIPLIER, _TICKET_OFFSET
    )
    high = f"{_PAIRS[value >> 30]}{_PAIRS[value >> 20 & 1023]}"
    return f"TKT-{high}{_PAIRS[value >> 10 & 1023]}{_PAIRS[value & 1023]}"
