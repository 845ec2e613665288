"""What clients may send on a WebSocket that only the server talks on (RFC 6455).

Control frames by the rules, and not many of them: a client has nothing to say here.
"""

from __future__ import annotations

import struct
import time
from typing import Final

from aiohttp import WSCloseCode, WSMsgType

from engine.platform.http.websocket.broadcast import close_frame, control_frame

HEAD: Final = 6  # bytes of a client's control frame before its payload: two, and the mask
_LENGTH: Final = 0x7F
_MASKED: Final = 0x80
_CONTROL_MAX: Final = 125  # bytes of a control frame (5.5)
_CONTROL: Final = {WSMsgType.CLOSE, WSMsgType.PING, WSMsgType.PONG}
_DATA: Final = {WSMsgType.TEXT, WSMsgType.BINARY}

# What a socket may cost: its bytes, a frame counting as 64 at least and a read as 8. An honest
# client sends one pong in 25 s; a hundred pings at once are let pass, as are ten that come byte by
# byte, and two dozen a second for ever. That is 0.1 ms of work a second.
BURST: Final = 16_384.0
A_SECOND: Final = 2_048.0
_FRAME_COST: Final = 64
_READ_COST: Final = 8

BROKEN: Final = close_frame(WSCloseCode.PROTOCOL_ERROR, "this is no WebSocket")
TALKED: Final = close_frame(WSCloseCode.POLICY_VIOLATION, "there is nothing to say here")
FLOODED: Final = close_frame(WSCloseCode.POLICY_VIOLATION, "too many frames")
_NO_TEXT: Final = close_frame(WSCloseCode.INVALID_TEXT, "the reason is not UTF-8")

# Codes that a client may close with (7.4): those that the RFC defines for it, those that are
# registered, and private ones. 1012 to 1014 are servers' own.
_CODES: Final = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011})
_CODES_REGISTERED: Final = range(3_000, 5_000)


class Allowance:
    """What a socket may still cost; grows with time up to ``BURST``."""

    __slots__ = ("_at", "_left")

    def __init__(self) -> None:
        self._left = BURST
        self._at = time.monotonic()

    def refill(self) -> None:
        """Count a read, and the time since the last one."""
        now = time.monotonic()
        self._left = min(BURST, self._left + (now - self._at) * A_SECOND) - _READ_COST
        self._at = now

    def take(self, length: int) -> bool:
        """Count a frame of ``length`` bytes; False: that is too much."""
        self._left -= length + _FRAME_COST
        return self._left >= 0


def frame_length(second: int) -> int:
    """Return the bytes of a control frame from its second byte."""
    return HEAD + (second & _LENGTH)


def refusal(first: int, second: int) -> bytes | None:
    """Return the close frame for a frame that begins so; None: it is a control frame by the rules.

    Nothing was begun that a continuation could go on with: a message would have been refused.
    """
    opcode = first & 0x0F
    if first & 0x70 or not second & _MASKED or opcode not in _CONTROL | _DATA:
        return BROKEN  # an extension's bits, unmasked, a continuation, or an unknown kind
    if opcode in _DATA:
        return TALKED
    whole = first & 0x80  # control frames are never in fragments (5.5)
    return None if whole and second & _LENGTH <= _CONTROL_MAX else BROKEN


def unmasked(frame: bytes) -> bytes:
    """Return the payload of a whole control frame."""
    length = len(frame) - HEAD
    if not length:
        return b""
    mask = (frame[2:HEAD] * (length // 4 + 1))[:length]
    plain = int.from_bytes(frame[HEAD:]) ^ int.from_bytes(mask)
    return plain.to_bytes(length)


def close_answer(payload: bytes) -> bytes:
    """Return the close frame that answers one with this payload: its code, or what is wrong."""
    if not payload:
        return control_frame(WSMsgType.CLOSE, b"")
    if len(payload) == 1:
        return BROKEN
    (code,) = struct.unpack_from("!H", payload)
    if code not in _CODES and code not in _CODES_REGISTERED:
        return BROKEN
    try:
        payload[2:].decode()
    except UnicodeDecodeError:
        return _NO_TEXT
    return control_frame(WSMsgType.CLOSE, payload[:2])
