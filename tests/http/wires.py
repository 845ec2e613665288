"""Sockets' transports that keep what is written."""

from __future__ import annotations

from typing import Any

import orjson

_HEAD = {126: 4, 127: 10}


class Wire:
    """A socket's transport that keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.unread = 0
        self.closing = False
        self.aborted = False

    @property
    def transport(self) -> Wire:
        return self

    def part(self, frame: bytes) -> None:
        self.written.append(frame)

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def get_write_buffer_size(self) -> int:
        return self.unread

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.aborted = self.closing = True

    @property
    def frames(self) -> list[tuple[int, bytes]]:
        """The (opcode, payload) of all frames, however they were written."""
        data, found = b"".join(self.written), []
        while data:
            length, head = data[1], _HEAD.get(data[1], 2)
            if head > 2:
                length = int.from_bytes(data[2:head], "big")
            found.append((data[0] & 0x0F, data[head : head + length]))
            data = data[head + length :]
        return found

    @property
    def messages(self) -> list[dict[str, Any]]:
        return [orjson.loads(payload) for opcode, payload in self.frames if opcode == 1]

    @property
    def goodbye(self) -> str | None:
        """The reason of the close frame, if there is one."""
        return next((load[2:].decode() for opcode, load in self.frames if opcode == 8), None)
