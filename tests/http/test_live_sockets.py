"""Sockets that are not aiohttp's any more: what clients send, and what becomes of dead ones."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator

import pytest
from aiohttp import WSCloseCode, web

from engine.platform.http.websocket import sockets as module
from engine.platform.http.websocket.broadcast import SEND_BUFFER_MAX, Wire
from engine.platform.http.websocket.client_frames import TALKED
from engine.platform.http.websocket.sockets import LiveSocket, LiveSockets, Upgrade, listen
from engine.platform.valkey.errors import OverloadedError, StoreUnavailableError
from tests.http.running import eventually

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
MASK = b"\x01\x02\x03\x04"


def frame(opcode: int, payload: bytes = b"", *, first: int = 0x80, masked: int = 0x80) -> bytes:
    """A frame as a client sends it."""
    hidden = bytes(byte ^ MASK[at % 4] for at, byte in enumerate(payload))
    return bytes([first | opcode, masked | len(payload)]) + MASK + hidden


class Audience:
    """Whom the sockets belong to."""

    def __init__(self) -> None:
        self.left: list[tuple[Wire, str]] = []

    def leave(self, wire: Wire, who: str) -> None:
        self.left.append((wire, who))


class Server:
    """A server whose every request opens a socket."""

    def __init__(self) -> None:
        self.sockets = LiveSockets(3)
        self.audience = Audience()
        self.opened: list[LiveSocket] = []
        self.port = 0
        self.request: web.Request | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.request = request
        await self.gate.wait()
        upgrade = Upgrade(request)
        socket = await upgrade.open(request, self.sockets, self.audience, "somebody")
        assert socket is not None
        self.opened.append(socket)
        return upgrade


class Client:
    """A client that sends what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def frame(self) -> tuple[int, bytes]:
        first, length = await self.reader.readexactly(2)
        assert first & 0x80
        assert length < 126
        return first & 0x0F, await self.reader.readexactly(length)

    async def closed_with(self) -> int:
        """The code of the close frame; nothing comes behind it."""
        opcode, payload = await self.frame()
        assert opcode == 8
        assert await self.reader.read() == b""
        code: int = struct.unpack("!H", payload[:2])[0]
        return code


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    one = Server()
    app = web.Application()
    app.router.add_get("/", one.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    one.port = runner.addresses[0][1]
    yield one
    await one.sockets.close()
    await runner.cleanup()


@contextlib.asynccontextmanager
async def connected(server: Server, behind: bytes = b"") -> AsyncIterator[Client]:
    """A client that has shaken hands; ``behind``: what it sends in the same packet."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(REQUEST + behind)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head  # RFC 6455, 1.3
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def left(server: Server) -> None:
    async def so() -> bool:
        return len(server.sockets) == 0 and len(server.audience.left) > 0

    await eventually(so)
    assert (server.opened[0], "somebody") in server.audience.left


async def test_the_connection_is_not_aiohttps_any_more(server: Server) -> None:
    async with connected(server) as client:
        server.opened[0].transport.write(b"anything at all")
        assert await client.reader.readexactly(15) == b"anything at all"
        names = [str(task.get_coro()) for task in asyncio.all_tasks()]
        assert not [name for name in names if "RequestHandler" in name]
    await left(server)


async def test_a_ping_is_answered_with_its_payload(server: Server) -> None:
    async with connected(server) as client:
        client.writer.write(frame(9, b"are you there?") + frame(9))
        assert await client.frame() == (10, b"are you there?")
        assert await client.frame() == (10, b"")


async def test_what_comes_with_the_request_is_not_lost(server: Server) -> None:
    async with connected(server, frame(9, b"early")) as client:
        assert await client.frame() == (10, b"early")


async def test_much_that_comes_behind_the_request_does_not_stop_the_reading(
    server: Server,
) -> None:
    """aiohttp stops reading when more than it keeps comes before the handshake."""
    server.gate.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(REQUEST)

    async def came() -> bool:
        return server.request is not None

    await eventually(came)
    assert server.request is not None
    server.request.protocol._read_bufsize = 4_096
    writer.write(frame(10, b"x" * 125) * 50)

    async def paused() -> bool:
        assert server.request is not None
        return server.request.protocol._buffer_paused

    await eventually(paused)
    server.gate.set()
    await reader.readuntil(b"\r\n\r\n")
    writer.write(frame(9, b"still there?"))
    assert await Client(reader, writer).frame() == (10, b"still there?")
    writer.close()
    await left(server)


async def test_a_client_that_floods_before_the_handshake_is_parted_from(server: Server) -> None:
    async with connected(server, frame(2, b"x") * 100_000) as client:
        with contextlib.suppress(ConnectionResetError):
            assert await client.closed_with() == WSCloseCode.POLICY_VIOLATION
    await left(server)


async def test_frames_may_come_in_pieces(server: Server) -> None:
    whole = frame(9, b"in pieces") + frame(8, struct.pack("!H", 1000))
    async with connected(server) as client:
        for at in range(len(whole)):
            server.opened[0].data_received(whole[at : at + 1])
        assert await client.frame() == (10, b"in pieces")
        assert await client.closed_with() == WSCloseCode.OK
    await left(server)


async def test_a_close_is_answered_and_ends_it(server: Server) -> None:
    async with connected(server) as client:
        client.writer.write(frame(8, struct.pack("!H", 1001) + b"tab closed"))
        assert await client.closed_with() == WSCloseCode.GOING_AWAY
    await left(server)


async def test_a_client_that_goes_without_a_word_has_left(server: Server) -> None:
    async with connected(server) as client:
        client.writer.transport.abort()
    await left(server)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (frame(1, b"hello"), WSCloseCode.POLICY_VIOLATION),
        (frame(2, b"hello"), WSCloseCode.POLICY_VIOLATION),
        (frame(0, b"more"), WSCloseCode.PROTOCOL_ERROR),
        (bytes([0x81, 0xFF]) + b"\xff" * 8, WSCloseCode.POLICY_VIOLATION),
        (frame(9, b"x", masked=0), WSCloseCode.PROTOCOL_ERROR),
        (frame(9, b"x", first=0), WSCloseCode.PROTOCOL_ERROR),
        (frame(9, b"x", first=0xC0), WSCloseCode.PROTOCOL_ERROR),
        (frame(3, b"x"), WSCloseCode.PROTOCOL_ERROR),
        (frame(11, b"x"), WSCloseCode.PROTOCOL_ERROR),
        (bytes([0x89, 0xFE, 0, 200]), WSCloseCode.PROTOCOL_ERROR),
        (b"GET / HTTP/1.1\r\n\r\n", WSCloseCode.PROTOCOL_ERROR),
    ],
    ids=[
        *("text", "binary", "continuation", "huge", "unmasked", "fragment", "extension"),
        *("reserved", "reserved control", "long control", "http"),
    ],
)
async def test_who_talks_or_breaks_the_rules_is_parted_from(
    server: Server, sent: bytes, code: WSCloseCode
) -> None:
    async with connected(server) as client:
        client.writer.write(sent)
        assert await client.closed_with() == code
    await left(server)


async def test_after_a_goodbye_the_clients_answer_ends_it_and_is_not_answered(
    server: Server,
) -> None:
    async with connected(server) as client:
        server.opened[0].part(TALKED)
        server.opened[0].part(module._GOING_AWAY)
        opcode, payload = await client.frame()
        assert (opcode, payload[2:]) == (8, b"there is nothing to say here")
        client.writer.write(frame(8, payload[:2]))
        assert await client.reader.read() == b""
    await left(server)


async def test_who_is_alive_is_pinged_and_who_is_not_is_given_up(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BEAT_S", 0.001)
    async with connected(server) as living, connected(server) as dead:
        for _ in range(3):
            assert await living.frame() == (9, b"")
            living.writer.write(frame(10))
        assert await dead.frame() == (9, b"")
        with contextlib.suppress(ConnectionResetError):
            assert await dead.reader.read() == b""
        assert len(server.sockets) == 1
        assert await living.frame() == (9, b"")


async def test_who_does_not_answer_a_goodbye_is_given_up(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BEAT_S", 0.001)
    async with connected(server) as client:
        server.opened[0].part(TALKED)
        assert (await client.frame())[0] == 8
        client.writer.write(frame(10))  # it is heard of, and yet
        with contextlib.suppress(ConnectionResetError):
            assert await client.reader.read() == b""
    await left(server)


async def test_who_was_being_opened_at_the_end_is_told_to_go(server: Server) -> None:
    await server.sockets.close()
    async with connected(server) as client:
        assert await client.closed_with() == WSCloseCode.GOING_AWAY
    await left(server)


def test_pings_are_spread_over_the_round() -> None:
    sizes = [0] * module._ROUND

    async def main() -> None:
        sockets = LiveSockets(10_000)
        for _ in range(5_000):
            socket = LiveSocket(sockets, Audience(), "")
            sockets.add(socket)
            sizes[socket.beat] += 1
        for beat in sockets._beats:
            for socket in tuple(beat):
                sockets.discard(socket)
        await sockets.close()

    asyncio.run(main())
    assert min(sizes) > 100  # 200 on average; below it by chance once in 10**12
    assert sum(sizes) == 5_000


async def test_a_client_that_does_not_read_what_it_asks_for_is_dropped(server: Server) -> None:
    async with connected(server):
        socket = server.opened[0]
        transport = socket.transport
        transport.pause_reading()
        transport.set_write_buffer_limits(high=1 << 30)
        socket.transport.write(b"\x81\x00" * 8_000_000)
        assert transport.get_write_buffer_size() > SEND_BUFFER_MAX
        socket.data_received(frame(9, b"x"))
        assert transport.is_closing()
    await left(server)


async def test_who_goes_while_joining_leaves_after_it(server: Server) -> None:
    async with connected(server) as client:
        socket = server.opened[0]

        async def join() -> None:
            client.writer.transport.abort()
            await left(server)
            server.audience.left.clear()  # as if it had not been there to leave

        await listen(socket, join())
        assert server.audience.left == [(socket, "somebody")]


async def test_a_feed_that_cannot_be_joined_says_when_to_come_again(server: Server) -> None:
    async def join() -> None:
        raise StoreUnavailableError

    async with connected(server) as client:
        await listen(server.opened[0], join())
        opcode, payload = await client.frame()
        assert (opcode, payload[:2]) == (8, struct.pack("!H", WSCloseCode.TRY_AGAIN_LATER))


async def test_a_mistake_while_joining_ends_the_connection(server: Server) -> None:
    async def join() -> None:
        raise ZeroDivisionError

    async with connected(server):
        with pytest.raises(ZeroDivisionError):
            await listen(server.opened[0], join())
    await left(server)


async def test_there_is_room_for_so_many(server: Server) -> None:
    async with connected(server), connected(server):
        with server.sockets.room(), pytest.raises(OverloadedError), server.sockets.room():
            pass
    with pytest.raises(RuntimeError), server.sockets.room():  # it failed to open
        raise RuntimeError
    await left(server)
    with server.sockets.room(), server.sockets.room(), server.sockets.room():
        pass


async def test_at_the_end_everybody_is_told_and_the_silent_are_cut_off(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CLOSE_S", 0.05)
    async with connected(server) as polite, connected(server) as silent:

        async def part() -> None:
            opcode, payload = await polite.frame()
            assert (opcode, payload[:2]) == (8, struct.pack("!H", 1001))
            polite.writer.write(frame(8, payload[:2]))
            assert await polite.reader.read() == b""

        await asyncio.gather(server.sockets.close(), part())
        assert (await silent.frame())[0] == 8
        with contextlib.suppress(ConnectionResetError):
            assert await silent.reader.read() == b""
        with pytest.raises(OverloadedError), server.sockets.room():
            pass
    await left(server)
