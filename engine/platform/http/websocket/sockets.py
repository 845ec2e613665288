"""WebSockets that only the server talks on, tens of thousands a process.

aiohttp reads the request and writes the handshake; then the connection is taken
from it, and with that its request, tasks, parsers and timers go: they would be
18 KiB a socket. What remains is a :class:`LiveSocket`. docs/adr/0007 has the figures.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
from collections import Counter
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import Protocol, cast

from aiohttp import WSCloseCode, WSMsgType, hdrs, web

from engine.core.errors import OnsaleError
from engine.core.tasks import end
from engine.platform.http.headers import REQUEST_ID_HEADER, SECURITY_HEADERS
from engine.platform.http.websocket.broadcast import (
    SEND_BUFFER_MAX,
    Wire,
    close_frame,
    control_frame,
)
from engine.platform.http.websocket.client_frames import (
    FLOODED,
    Allowance,
    close_answer,
    frame_length,
    refusal,
    unmasked,
)
from engine.platform.http.websocket.handshake import accepted_key
from engine.platform.telemetry.logs import REQUEST_ID
from engine.platform.valkey.errors import OverloadedError

_PING = control_frame(WSMsgType.PING, b"")
_LATER = close_frame(WSCloseCode.TRY_AGAIN_LATER, "try again in a moment")
_GOING_AWAY = close_frame(WSCloseCode.GOING_AWAY, "the server restarts")

# Every socket is pinged once in so many beats of a second, each at a beat of its own: below the
# minute of silence at which proxies give up, and a dead client is noticed within two rounds.
_ROUND = 25
_BEAT_S = 1.0
_WRITES_A_TURN = 200  # then other requests get their turn
_CLOSE_S = 2.0  # that clients are given to answer a close, all together
# That who is refused is given to read why: a connection that is closed with something unread is
# reset, and the close frame may be lost with that.
_LINGER_S = 1.0
_IGNORED_MAX = 4_096  # bytes that are taken of who is refused; then the reading stops
_IPV6_BLOCK = 64  # bits: whoever has an address there has all of them


class Listener(Protocol):
    """Whom a socket belongs to."""

    def leave(self, wire: Wire, who: str) -> None:
        """Send nothing more: the socket is gone."""


class LiveSocket(asyncio.Protocol):
    """The server's side of one connection: answers pings, says good-bye, and tells when it ends.

    ``transport`` is what broadcasts write to. Clients have nothing to say here:
    :mod:`engine.platform.http.websocket.client_frames` has what they may send, and how much of it.
    """

    __slots__ = (
        "_allowance",
        "_heard",
        "_ignored",
        "_listener",
        "_parted",
        "_rest",
        "_sockets",
        "_who",
        "beat",
        "block",
        "refused",
        "transport",
    )

    def __init__(
        self, sockets: LiveSockets, listener: Listener, who: str, block: str | None = None
    ) -> None:
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)  # until it is opened
        self.beat = 0
        self.block = block  # of addresses that the client is in
        self.refused = False
        self._sockets = sockets
        self._listener = listener
        self._who = who
        self._heard = True
        self._parted = False
        self._rest = b""
        self._ignored = 0
        self._allowance = Allowance()

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
        """Take what a client sends: answers to pings and closes, by the rules.

        Parsed in place, and bounded by the allowance: no frame costs more than itself.
        """
        if self.refused:
            self._ignored += len(data)
            if self._ignored > _IGNORED_MAX:
                self.transport.pause_reading()
            return
        self._heard = True
        self._allowance.refill()
        if self._rest:
            data = self._rest + data  # of 130 bytes at most
        at, size = 0, len(data)
        while size - at >= 2:  # noqa: PLR2004 - the fixed part of a frame's head
            wrong = refusal(data[at], data[at + 1])
            if wrong is not None:
                self._refuse(wrong)
                return
            upto = at + frame_length(data[at + 1])
            if upto > size:
                break
            if not self._allowance.take(upto - at):
                self._refuse(FLOODED)
                self.transport.pause_reading()
                return
            frame, at = data[at:upto], upto
            if not self._control(frame[0] & 0x0F, frame):
                return
        self._rest = data[at:]
        if not self._allowance.take(0):
            self._refuse(FLOODED)

    def _refuse(self, frame: bytes) -> None:
        """Say why, take nothing more, and end it when that can have been read."""
        self.refused = True
        self._rest = b""
        self.part(frame)
        self.leave()
        asyncio.get_running_loop().call_later(_LINGER_S, self.transport.abort)

    def _control(self, opcode: int, frame: bytes) -> bool:
        """Do what a control frame asks for; False: nothing behind it counts."""
        if opcode == WSMsgType.CLOSE:
            if not self._parted:
                self.part(close_answer(unmasked(frame)))
            self.transport.close()
            return False
        if opcode == WSMsgType.PING and not self._parted:
            if self.transport.get_write_buffer_size() > SEND_BUFFER_MAX:
                self.transport.abort()
                return False
            self.transport.write(control_frame(WSMsgType.PONG, unmasked(frame)))
        return True

    def leave(self) -> None:
        """Tell the listener that this socket is to be sent nothing more."""
        self._listener.leave(self, self._who)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the listener and the count."""
        del exc
        self._sockets.discard(self)
        self.leave()


class LiveSockets:
    """The open sockets of one kind in this process: bounded, kept alive, closed at the end.

    ``most``: of all clients; ``most_of_one``: of one block of addresses, 0: no limit.
    """

    def __init__(self, most: int, most_of_one: int = 0) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._blocks: Counter[str] = Counter()
        self._opening = 0
        self._beats: list[set[LiveSocket]] = [set() for _ in range(_ROUND)]
        self._count = 0
        self._beating: asyncio.Task[None] | None = None
        self._closing = False
        self._gone = asyncio.Event()

    def __len__(self) -> int:
        return self._count

    @contextmanager
    def room(self, block: str | None = None) -> Iterator[None]:
        """Keep room for a socket that is being opened. Raises ``OverloadedError``.

        ``block``: of addresses that the client is in, None: it has no limit of its own.
        """
        if self._closing or self._count + self._opening >= self._most:
            raise OverloadedError("Too many live connections: ask again and again instead")
        if block is not None and 0 < self._most_of_one <= self._blocks[block]:
            raise OverloadedError("Too many live connections from your network: ask instead")
        self._opening += 1
        self._count_block(block, 1)
        try:
            yield
        finally:
            self._opening -= 1
            self._count_block(block, -1)

    def _count_block(self, block: str | None, change: int) -> None:
        if block is not None:
            self._blocks[block] += change
            if not self._blocks[block]:
                del self._blocks[block]

    def add(self, socket: LiveSocket) -> None:
        """Count a socket that is open now, and keep it alive."""
        if self._closing:  # it was being opened when all were told to go
            socket.part(_GOING_AWAY)
            socket.transport.close()
        socket.beat = random.randrange(_ROUND)  # noqa: S311 - spreads the pings, hides nothing
        self._beats[socket.beat].add(socket)
        self._count += 1
        self._count_block(socket.block, 1)
        if self._beating is None or self._beating.done():
            self._beating = asyncio.create_task(self._beat(), name="live-sockets")

    def discard(self, socket: LiveSocket) -> None:
        """Count a socket that is gone."""
        if socket in self._beats[socket.beat]:
            self._beats[socket.beat].discard(socket)
            self._count -= 1
            self._count_block(socket.block, -1)
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


def block_of(address: str | None) -> str | None:
    """Return the block of addresses that a client is in; None: unknown, or this machine's own.

    It is the address itself, and of IPv6 the /64.
    """
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if found.is_loopback:
        return None  # everybody on this machine shares it, a proxy included
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((found, _IPV6_BLOCK), strict=False))
    return str(found)


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
    elif socket.refused:  # the same
        socket.leave()


class Upgrade(web.StreamResponse):
    """The answer after which a connection is a WebSocket, and aiohttp's no more.

    Raises what :func:`engine.platform.http.websocket.handshake.accepted_key` raises.
    """

    def __init__(self, request: web.Request) -> None:
        super().__init__(
            status=101,
            headers={
                hdrs.UPGRADE: "websocket",
                hdrs.CONNECTION: "upgrade",
                hdrs.SEC_WEBSOCKET_ACCEPT: accepted_key(request),
                REQUEST_ID_HEADER: REQUEST_ID.get(),
                **dict(SECURITY_HEADERS),
            },
        )

    async def open(
        self,
        request: web.Request,
        sockets: LiveSockets,
        listener: Listener,
        who: str,
        block: str | None = None,
    ) -> LiveSocket | None:
        """Shake hands, and return the open socket; None: the client went meanwhile.

        From now on ``listener`` is told when it ends. ``block``: see :meth:`LiveSockets.room`.
        """
        await self.prepare(request)
        connection = request.protocol
        transport = connection.transport
        if transport is None or transport.is_closing():
            return None
        socket = LiveSocket(sockets, listener, who, block)
        socket.transport = transport
        early = connection._message_tail  # noqa: SLF001 - what came right behind the request
        transport.set_protocol(socket)
        connection.transport = None  # else aiohttp would close it
        connection.connection_lost(None)
        sockets.add(socket)
        transport.resume_reading()  # aiohttp pauses it when more comes than it keeps
        if early:
            socket.data_received(early)
        return socket

    async def write_eof(self, data: bytes = b"") -> None:
        """Write nothing: the connection is not aiohttp's any more."""
