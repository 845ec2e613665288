"""Many idle listeners in one process: WebSockets of a line, or connections to the bare server.

python -m loadtest.bench.listeners PORT REQUESTS

REQUESTS has one path a line, each opened as a WebSocket; an empty line opens a
bare connection. The parent is told what happens by lines of JSON: ``open`` when
all are; then for every number on the standard input ``armed``, and ``told`` when
the frame with that serving number has reached them all. Ends with its input.
"""

from __future__ import annotations

import asyncio
import base64
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import uvloop

_TEXT, _CLOSE, _PING = 0x81, 0x88, 0x89
_LENGTH_16 = 126  # then the length follows in two bytes (RFC 6455, 5.2)
_PONG = b"\x8a\x80\x00\x00\x00\x00"  # masked, as a client must, with zeros
_KEY = base64.b64encode(bytes(16)).decode()
_AT_ONCE = 64  # connections that are being opened
_OPEN_S = 30.0  # for one of them
_HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
)


class Hub:
    """Knows whom the frame that is waited for has reached."""

    def __init__(self) -> None:
        self.wanted = b"\0"  # in no frame
        self.left: set[Listener] = set()
        self.all: list[Listener] = []
        self.first_at = 0.0
        self.frames = 0

    def arm(self, serving: int) -> None:
        """Wait for the frame of this serving number."""
        self.wanted = b'"serving":%d,' % serving
        self.left = set(self.all)
        self.first_at = 0.0
        self.frames = 0

    def came(self, listener: Listener, data: bytes) -> None:
        """Note a frame."""
        self.frames += 1
        if self.wanted not in data or listener not in self.left:
            return
        now = time.monotonic()
        self.first_at = self.first_at or now
        self.left.discard(listener)
        if not self.left:
            say(
                what="told",
                first=self.first_at,
                last=now,
                frames=self.frames,
                frame=data.hex(),
            )

    def lost(self, listener: Listener) -> None:
        """Tell that a connection ended: the measurement is void."""
        if listener in self.all:
            say(what="lost")


class Listener(asyncio.Protocol):
    """One connection. ``opened``: done when the handshake is."""

    __slots__ = ("_hub", "_path", "opened", "transport")

    def __init__(self, hub: Hub, path: str) -> None:
        self._hub = hub
        self._path = path
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for a WebSocket, or say that one is here."""
        self.transport = transport
        if self._path:
            self.transport.write(_HANDSHAKE.format(path=self._path, key=_KEY).encode())
        else:
            self.transport.write(b"\n")
            self.opened.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Note that the connection is open, a frame, or answer a ping."""
        if not self.opened.done():
            if data.startswith(b"HTTP/1.1 101"):
                self.opened.set_result(None)
            else:
                self.opened.set_exception(ConnectionError(data[:300].decode(errors="replace")))
            return
        for kind, payload in frames(data):
            if kind == _TEXT:
                self._hub.came(self, payload)
            elif kind == _PING:
                self.transport.write(_PONG)
            elif kind == _CLOSE:
                self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell that it ended."""
        if not self.opened.done():
            self.opened.set_exception(exc or ConnectionError("closed"))
        self._hub.lost(self)


def frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the first byte and the whole of each frame in what came; servers do not mask them."""
    while len(data) >= 2:  # noqa: PLR2004 - the fixed part of a frame's head
        length = data[1]
        end = 4 + int.from_bytes(data[2:4], "big") if length == _LENGTH_16 else 2 + length
        yield data[0], data[:end]
        data = data[end:]


def say(**message: Any) -> None:
    """Tell the parent."""
    sys.stdout.buffer.write(orjson.dumps(message) + b"\n")
    sys.stdout.buffer.flush()


async def listen(port: int, paths: list[str]) -> None:
    """Open all, then do as the parent says until its end of the pipe is closed."""
    hub, room = Hub(), asyncio.Semaphore(_AT_ONCE)
    loop = asyncio.get_running_loop()

    async def open_one(path: str) -> None:
        async with room, asyncio.timeout(_OPEN_S):
            _, listener = await loop.create_connection(
                lambda: Listener(hub, path), "127.0.0.1", port
            )
            await listener.opened
            hub.all.append(listener)

    try:
        await asyncio.gather(*map(open_one, paths))
    except (OSError, TimeoutError) as error:
        say(what="failed", why=str(error))
        return
    say(what="open")
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        hub.arm(int(line))
        say(what="armed")


if __name__ == "__main__":
    uvloop.run(listen(int(sys.argv[1]), Path(sys.argv[2]).read_text().split("\n")))
