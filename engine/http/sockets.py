"""WebSockets that only the server talks on, tens of thousands a process.

aiohttp reads the request and writes the handshake; then the connection is taken
from it, and with that its request, tasks, parsers and timers go: they would be
18 KiB a socket. What remains is a :class:`LiveSocket`. docs/adr/0007 has the figures.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import random
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import Protocol, cast

from aiohttp import WSCloseCode, WSMsgType, hdrs, web
from yarl import URL

from engine.core.errors import OnsaleError, OverloadedError
from engine.core.logs import REQUEST_ID
from engine.core.tasks import end
from engine.http.broadcast import SEND_BUFFER_MAX, Wire, close_frame, control_frame
from engine.http.errors import OriginRefusedError, UpgradeNeededError
from engine.http.headers import REQUEST_ID_HEADER

_ACCEPT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_CONTROL_MAX = 125  # bytes of a control frame (RFC 6455, 5.5)
_HEAD = 6  # bytes before its payload: two, and the mask
_PING = control_frame(WSMsgType.PING, b"")
_LATER = close_frame(WSCloseCode.TRY_AGAIN_LATER, "try again in a moment")
_GOING_AWAY = close_frame(WSCloseCode.GOING_AWAY, "the server restarts")
_TALKED = close_frame(WSCloseCode.POLICY_VIOLATION, "there is nothing to say here")
_BROKEN = close_frame(WSCloseCode.PROTOCOL_ERROR, "this is no WebSocket")

# Every socket is pinged once in so many beats of a second, each at a beat of its own: below the
# minute of silence at which proxies give up, and a dead client is noticed within two rounds.
_ROUND = 25
_BEAT_S = 1.0
_WRITES_A_TURN = 200  # then other requests get their turn
_CLOSE_S = 2.0  # that clients are given to answer a close, all together


def check_origin(request: web.Request, public_url: str) -> None:
    """Raise :class:`OriginRefusedError` for a browser's page that is not of this site.

    Programs send no Origin and are let in: they could send any.
    """
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is not None and origin != str(URL(public_url).origin()):
        raise OriginRefusedError("Open the connection from a page of this site")


class Listener(Protocol):
    """Whom a socket belongs to."""

    def leave(self, wire: Wire, who: str) -> None:
        """Send nothing more: the socket is gone."""


class LiveSocket(asyncio.Protocol):
    """The server's side of one connection: answers pings, says good-bye, and tells when it ends.

    ``transport`` is what broadcasts write to. Clients have nothing to say here.
    """

    __slots__ = ("_heard", "_listener", "_parted", "_rest", "_sockets", "_who", "beat", "transport")

    def __init__(self, sockets: LiveSockets, listener: Listener, who: str) -> None:
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)  # until it is opened
        self.beat = 0
        self._sockets = sockets
        self._listener = listener
        self._who = who
        self._heard = True
        self._parted = False
        self._rest = b""

    def part(self, frame: bytes) -> None:
        """Say good-bye with a close frame; the client's answer ends the connection."""
        if not self._parted and not self.transport.is_closing():
            self._parted = True
            self.transport.write(frame)

    def ping(self) -> None:
        """Send a ping, or give up a client that has not been heard of since the last one."""
        if self._heard and not self._parted:
            self._heard = False
            self.transport.write(_PING)
        else:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take what a client sends: answers to pings and closes, by the rules."""
        self._heard = True
        data = self._rest + data
        while len(data) >= 2:  # noqa: PLR2004 - the fixed part of a frame's head
            length = data[1] & 0x7F
            refusal = self._refusal(data[0], data[1])
            if refusal is not None:
                self.part(refusal)
                self.transport.close()
                return
            if len(data) < _HEAD + length:
                break
            mask, payload = data[2:_HEAD], data[_HEAD : _HEAD + length]
            self._control(
                data[0] & 0x0F, bytes(byte ^ mask[at & 3] for at, byte in enumerate(payload))
            )
            data = data[_HEAD + length :]
        self._rest = data

    @staticmethod
    def _refusal(first: int, second: int) -> bytes | None:
        """Return with what a frame that begins so is answered, if it is refused."""
        opcode = first & 0x0F
        if opcode in {WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION}:
            return _TALKED
        whole = first & 0xF0 == 0x80  # noqa: PLR2004 - final, and no extension's bits
        masked = second & 0x80
        known = opcode in {WSMsgType.CLOSE, WSMsgType.PING, WSMsgType.PONG}
        return None if whole and masked and known and second & 0x7F <= _CONTROL_MAX else _BROKEN

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode == WSMsgType.CLOSE:
            self.part(control_frame(WSMsgType.CLOSE, payload[:2]))
            self.transport.close()
        elif opcode == WSMsgType.PING and not self._parted:
            if self.transport.get_write_buffer_size() > SEND_BUFFER_MAX:
                self.transport.abort()
            else:
                self.transport.write(control_frame(WSMsgType.PONG, payload))

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the listener and the count."""
        del exc
        self._sockets.discard(self)
        self._listener.leave(self, self._who)


class LiveSockets:
    """The open sockets of one kind in this process: bounded, kept alive, closed at the end."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._opening = 0
        self._beats: list[set[LiveSocket]] = [set() for _ in range(_ROUND)]
        self._count = 0
        self._beating: asyncio.Task[None] | None = None
        self._closing = False
        self._gone = asyncio.Event()

    def __len__(self) -> int:
        return self._count

    @contextmanager
    def room(self) -> Iterator[None]:
        """Keep room for a socket that is being opened. Raises ``OverloadedError``."""
        if self._closing or self._count + self._opening >= self._most:
            raise OverloadedError("Too many live connections: ask again and again instead")
        self._opening += 1
        try:
            yield
        finally:
            self._opening -= 1

    def add(self, socket: LiveSocket) -> None:
        """Count a socket that is open now, and keep it alive."""
        if self._closing:  # it was being opened when all were told to go
            socket.part(_GOING_AWAY)
            socket.transport.close()
        socket.beat = random.randrange(_ROUND)  # noqa: S311 - spreads the pings, hides nothing
        self._beats[socket.beat].add(socket)
        self._count += 1
        if self._beating is None or self._beating.done():
            self._beating = asyncio.create_task(self._beat(), name="live-sockets")

    def discard(self, socket: LiveSocket) -> None:
        """Count a socket that is gone."""
        if socket in self._beats[socket.beat]:
            self._beats[socket.beat].discard(socket)
            self._count -= 1
            if not self._count:
                self._gone.set()

    async def close(self) -> None:
        """Tell every client that the server goes away, and end the connections."""
        self._closing = True
        await end(self._beating)
        self._gone.clear()
        for beat in self._beats:
            for socket in tuple(beat):
                socket.part(_GOING_AWAY)
            await asyncio.sleep(0)
        if self._count:
            try:
                async with asyncio.timeout(_CLOSE_S):
                    await self._gone.wait()
            except TimeoutError:
                for beat in self._beats:
                    for socket in tuple(beat):
                        socket.transport.abort()

    async def _beat(self) -> None:
        turn = 0
        while self._count:
            await asyncio.sleep(_BEAT_S)
            turn = (turn + 1) % _ROUND
            for count, socket in enumerate(tuple(self._beats[turn]), 1):
                socket.ping()
                if count % _WRITES_A_TURN == 0:
                    await asyncio.sleep(0)


async def listen(socket: LiveSocket, joining: Awaitable[None]) -> None:
    """Join a feed; when that fails the client is told to try again later."""
    try:
        await joining
    except OnsaleError:
        socket.part(_LATER)
    except BaseException:
        socket.transport.abort()
        raise
    if socket.transport.is_closing():  # it went meanwhile, and was not there to leave
        socket.connection_lost(None)


class Upgrade(web.StreamResponse):
    """The answer after which a connection is a WebSocket, and aiohttp's no more.

    Raises :class:`UpgradeNeededError` for a request that asks for none.
    """

    def __init__(self, request: web.Request) -> None:
        if not web.WebSocketResponse().can_prepare(request):
            raise UpgradeNeededError("Connect with a WebSocket client")
        key = request.headers[hdrs.SEC_WEBSOCKET_KEY].encode()
        digest = hashlib.sha1(key + _ACCEPT, usedforsecurity=False).digest()
        super().__init__(
            status=101,
            headers={
                hdrs.UPGRADE: "websocket",
                hdrs.CONNECTION: "upgrade",
                hdrs.SEC_WEBSOCKET_ACCEPT: base64.b64encode(digest).decode(),
                REQUEST_ID_HEADER: REQUEST_ID.get(),
            },
        )

    async def open(
        self, request: web.Request, sockets: LiveSockets, listener: Listener, who: str
    ) -> LiveSocket | None:
        """Shake hands, and return the open socket; None: the client went meanwhile.

        From now on ``listener`` is told when it ends.
        """
        await self.prepare(request)
        connection = request.protocol
        transport = connection.transport
        if transport is None or transport.is_closing():
            return None
        socket = LiveSocket(sockets, listener, who)
        socket.transport = transport
        early = connection._message_tail  # noqa: SLF001 - what came right behind the request
        transport.set_protocol(socket)
        connection.transport = None  # else aiohttp would close it
        connection.connection_lost(None)
        sockets.add(socket)
        if early:
            socket.data_received(early)
        transport.resume_reading()  # aiohttp pauses it when more comes than it keeps
        return socket

    async def write_eof(self, data: bytes = b"") -> None:
        """Write nothing: the connection is not aiohttp's any more."""
