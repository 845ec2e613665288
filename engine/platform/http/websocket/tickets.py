"""Tickets for live connections: a browser cannot send a token with a WebSocket, nor should a URL.

A ticket is signed (HMAC-SHA-256, RFC 2104) and bound to a buyer and an
occurrence. It is good for seconds and for one connection: whoever lets it in
remembers ``used`` for ``TICKET_TTL_S`` seconds and more.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import struct
import time
from collections.abc import Callable
from typing import NamedTuple

from engine.core.errors import UnauthorizedError

TICKET_TTL_S = 30
_CLOCKS_APART_S = 5  # at most, of processes that follow one clock and are under load
_PURPOSE = b"onsale live ticket 1"  # parts this key from all others that the same secret makes
_HEAD = struct.Struct("!16s16sQ")  # random, buyer, expiry in ms since the epoch
_MAC_BYTES = 16  # half of the digest: RFC 2104, 5; nobody has 30 s for 2**128 tries
_LENGTH = 4 * -(-(_HEAD.size + _MAC_BYTES) // 3)  # in base 64, padding included
_INVALID = "This ticket is not valid: get a new one from POST .../queue/ticket"


class LiveTicket(NamedTuple):
    """A ticket that is valid. ``used``: 16 bytes that no other ticket has."""

    buyer: str
    used: bytes


class LiveTickets:
    """Makes and checks tickets with one secret. ``clock``: seconds since the epoch."""

    def __init__(self, secret: str, *, clock: Callable[[], float] = time.time) -> None:
        self._key = hmac.digest(secret.encode(), _PURPOSE, "sha256")
        self._clock = clock

    def issue(self, buyer: str, occurrence: str) -> str:
        """Return a ticket (both ids: 32 hex), valid for ``TICKET_TTL_S`` seconds."""
        expires_ms = int((self._clock() + TICKET_TTL_S) * 1000)
        head = _HEAD.pack(os.urandom(16), bytes.fromhex(buyer), expires_ms)
        return base64.urlsafe_b64encode(head + self._mac(head, occurrence)).decode()

    def check(self, ticket: str, occurrence: str) -> LiveTicket:
        """Return whose ticket it is. Raises :class:`UnauthorizedError`.

        That it has not been used before is for the caller to see.
        """
        raw = _decode(ticket)
        head = raw[: _HEAD.size]
        if not hmac.compare_digest(raw[_HEAD.size :], self._mac(head, occurrence)):
            raise UnauthorizedError(_INVALID)
        _, buyer, expires_ms = _HEAD.unpack(head)
        left_ms = expires_ms - self._clock() * 1000
        # Clocks of two processes differ a little. One from a clock that is far ahead would be good
        # for longer than its use is remembered.
        if not 0 < left_ms <= (TICKET_TTL_S + _CLOCKS_APART_S) * 1000:
            raise UnauthorizedError("This ticket has expired: get a new one")
        return LiveTicket(buyer.hex(), hashlib.blake2b(head, digest_size=16).digest())

    def _mac(self, head: bytes, occurrence: str) -> bytes:
        return hmac.digest(self._key, head + occurrence.encode(), "sha256")[:_MAC_BYTES]


def _decode(ticket: str) -> bytes:
    if len(ticket) != _LENGTH or not ticket.isascii():
        raise UnauthorizedError(_INVALID)
    try:
        raw = base64.b64decode(ticket.encode(), altchars=b"-_", validate=True)
    except binascii.Error:
        raise UnauthorizedError(_INVALID) from None
    if len(raw) != _HEAD.size + _MAC_BYTES:
        raise UnauthorizedError(_INVALID)
    return raw
