"""The limit of a broadcast: a bare server that writes the same bytes to all its connections.

python -m loadtest.bench.bare PORT FRAME

At SIGUSR1 it writes the content of the file FRAME to everybody who has sent something.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import cast

import uvloop

_HEALTHY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Connection(asyncio.Protocol):
    """One connection; in ``wires`` from its first byte on."""

    __slots__ = ("_transport", "_wires")

    def __init__(self, wires: set[asyncio.Transport]) -> None:
        self._wires = wires

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are not of that class

    def data_received(self, data: bytes) -> None:
        """Take it among the listeners, or say that the server is there."""
        if data.startswith(b"GET "):
            self._transport.write(_HEALTHY)
            self._transport.close()
        else:
            self._wires.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        del exc
        self._wires.discard(self._transport)


async def serve(port: int, frame: bytes) -> None:
    """Serve until SIGTERM."""
    wires: set[asyncio.Transport] = set()

    def broadcast() -> None:
        for transport in wires:
            transport.write(frame)

    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, broadcast)
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    await loop.create_server(lambda: Connection(wires), "127.0.0.1", port, backlog=1024)
    await stop.wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), Path(sys.argv[2]).read_bytes()))
