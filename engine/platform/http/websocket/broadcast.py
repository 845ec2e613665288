"""The same bytes to many sockets: framed once, and written without a task, or a copy, for each."""

from __future__ import annotations

import asyncio
import struct
from typing import Protocol

# Bytes a client may leave unread before it is dropped: the snapshot of 55,000 seats is 60 KiB, a
# busy second of differences some 20 KiB, so this is several seconds of a stalled connection.
SEND_BUFFER_MAX = 262_144
_WRITES_A_TURN = 200  # at 12 us each; then other requests get their turn
_CLOSE_REASON_MAX = 123  # a control frame carries 125 bytes, two of them the code (RFC 6455, 5.5)


class Transport(Protocol):
    """What a broadcast needs of a socket's transport."""

    def write(self, data: bytes) -> None:
        """Send, or keep until it can be sent."""

    def get_write_buffer_size(self) -> int:
        """Return the bytes kept."""

    def is_closing(self) -> bool:
        """Tell whether nothing can be sent any more."""

    def abort(self) -> None:
        """Close at once and forget what is kept."""


class Wire(Protocol):
    """A socket as its listeners see it."""

    @property
    def transport(self) -> Transport:
        """What is written to."""

    def part(self, frame: bytes) -> None:
        """Say good-bye with a close frame."""


def text_frame(payload: bytes) -> bytes:
    """Return a whole WebSocket text message as a server sends it (RFC 6455, 5.2: unmasked)."""
    length = len(payload)
    if length <= 125:  # noqa: PLR2004 - the three forms of a frame's length in the RFC
        return struct.pack("!BB", 0x81, length) + payload
    if length <= 0xFFFF:  # noqa: PLR2004 - the same
        return struct.pack("!BBH", 0x81, 126, length) + payload
    return struct.pack("!BBQ", 0x81, 127, length) + payload


def close_frame(code: int, reason: str) -> bytes:
    """Return a whole close message (RFC 6455, 5.5.1). ``reason``: at most 123 ASCII characters."""
    payload = struct.pack("!H", code) + reason.encode("ascii")[:_CLOSE_REASON_MAX]
    return control_frame(0x8, payload)


def control_frame(opcode: int, payload: bytes) -> bytes:
    """Return a whole control message: a close, a ping or a pong. ``payload``: at most 125 bytes."""
    return struct.pack("!BB", 0x80 | opcode, len(payload)) + payload


class Broadcast:
    """The sockets that are sent the same. ``dropped``: those that did not read, so far."""

    def __init__(self) -> None:
        self._wires: set[Wire] = set()
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._wires)

    def add(self, wire: Wire) -> None:
        """Send ``wire`` what is sent from now on."""
        self._wires.add(wire)

    def discard(self, wire: Wire) -> None:
        """Send nothing more to ``wire``."""
        self._wires.discard(wire)

    def clear(self) -> None:
        """Send nothing more to anybody."""
        self._wires.clear()

    def tell(self, wire: Wire, frame: bytes) -> bool:
        """Send one socket a frame; False: it is gone, or was dropped as it does not read."""
        transport = wire.transport
        if transport.is_closing():
            self._wires.discard(wire)
            return False
        if transport.get_write_buffer_size() > SEND_BUFFER_MAX:
            self._wires.discard(wire)
            self.dropped += 1
            transport.abort()
            return False
        transport.write(frame)
        return True

    async def send(self, frame: bytes) -> None:
        """Send every socket a frame; who joins meanwhile is not sent it."""
        for count, wire in enumerate(tuple(self._wires), 1):
            transport = wire.transport
            if transport.is_closing() or transport.get_write_buffer_size() > SEND_BUFFER_MAX:
                self.tell(wire, frame)
            else:
                transport.write(frame)  # without the call of tell: 3 % of a broadcast
            if count % _WRITES_A_TURN == 0:
                await asyncio.sleep(0)
