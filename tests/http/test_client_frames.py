"""What clients send on live connections: the cases of the Autobahn suite that concern a server
to which nobody has anything to say, with wsproto as the second opinion; and floods of each kind.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from wsproto.frame_protocol import FrameProtocol, Opcode, ParseFailed

from engine.platform.http.websocket import sockets as module
from engine.platform.http.websocket.broadcast import SEND_BUFFER_MAX
from engine.platform.http.websocket.client_frames import (
    A_SECOND,
    BURST,
    close_answer,
    refusal,
    unmasked,
)
from engine.platform.http.websocket.sockets import LiveSocket, LiveSockets

MASK = b"\x01\x02\x03\x04"


def frame(
    opcode: int, payload: bytes = b"", *, first: int = 0x80, masked: bool = True, mask: bytes = MASK
) -> bytes:
    """A frame as a client sends it, with the shortest form of its length."""
    size = len(payload)
    bit = 0x80 if masked else 0
    if size <= 125:
        head = struct.pack("!BB", first | opcode, bit | size)
    elif size <= 0xFFFF:
        head = struct.pack("!BBH", first | opcode, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first | opcode, bit | 127, size)
    if not masked:
        return head + payload
    hidden = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return head + mask + hidden


class Transport:
    """A socket's transport that keeps what is done to it."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.unread = 0
        self.closed = self.aborted = self.paused = False

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.written.append(data)

    def get_write_buffer_size(self) -> int:
        return self.unread

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def pause_reading(self) -> None:
        self.paused = True

    @property
    def frames(self) -> list[tuple[int, bytes]]:
        data, found = b"".join(self.written), []
        while data:
            found.append((data[0] & 0x0F, data[2 : 2 + data[1]]))
            data = data[2 + data[1] :]
        return found

    @property
    def code(self) -> int | None:
        """The code of the close frame; 0: it has none; None: there is no close frame."""
        closes = [payload for opcode, payload in self.frames if opcode == 8]
        assert len(closes) <= 1, "one good-bye"
        if not closes:
            return None
        return int.from_bytes(closes[0][:2]) if closes[0] else 0


class Nobody:
    def __init__(self) -> None:
        self.left = 0

    def leave(self, wire: object, who: str) -> None:
        del wire, who
        self.left += 1


class Opened:
    """A socket whose transport is none."""

    def __init__(self) -> None:
        self.listener, self.transport = Nobody(), Transport()
        self.socket = LiveSocket(LiveSockets(1), self.listener, "")
        self.socket.transport = self.transport  # type: ignore[assignment]

    def send(self, data: bytes, piece: int | None = None) -> None:
        """Send at once, or in pieces, as long as somebody reads."""
        for at in range(0, len(data), piece or len(data) or 1):
            if self.transport.paused or self.transport.closed:
                return
            self.socket.data_received(data[at : at + (piece or len(data))])


@pytest.fixture
async def opened() -> Opened:
    return Opened()


def close(code: int, reason: bytes = b"") -> bytes:
    return frame(8, struct.pack("!H", code) + reason)


# (the case of the suite, what is sent, the code of the good-bye: 0 is an empty one, None is none)
CASES: list[tuple[str, bytes, int | None]] = [
    ("1.1.1 empty text", frame(1), 1008),
    ("1.1.6 text of 65,535", frame(1, b"*" * 65_535), 1008),
    ("1.1.7 text of 65,536", frame(1, b"*" * 65_536), 1008),
    ("1.2.1 empty binary", frame(2), 1008),
    ("1.2.7 binary of 65,536", frame(2, b"\xfe" * 65_536), 1008),
    ("2.1 empty ping", frame(9), None),
    ("2.2 ping with text", frame(9, b"Hello, world!"), None),
    ("2.3 ping with bytes", frame(9, bytes([0, 255, 254, 253, 252, 0])), None),
    ("2.4 ping of 125", frame(9, b"\xfe" * 125), None),
    ("2.5 ping of 126", frame(9, b"\xfe" * 126), 1002),
    ("2.7 pong nobody asked for", frame(10), None),
    ("2.8 pong with a payload", frame(10, b"unsolicited"), None),
    ("2.10 ten pings", b"".join(frame(9, b"payload-%d" % n) for n in range(10)), None),
    ("3.1 RSV 1", frame(1, b"*", first=0x80 | 0x10), 1002),
    ("3.2 RSV 2", frame(1, b"*", first=0x80 | 0x20), 1002),
    ("3.3 RSV 3", frame(1, b"*", first=0x80 | 0x30), 1002),
    ("3.5 RSV 5 in a ping", frame(9, b"*", first=0x80 | 0x50), 1002),
    ("3.7 RSV 7 in a close", frame(8, b"", first=0x80 | 0x70), 1002),
    *((f"4.1.{n} opcode {n}", frame(n, b"*"), 1002) for n in range(3, 8)),
    *((f"4.2.{n - 10} opcode {n}", frame(n, b"*"), 1002) for n in range(11, 16)),
    ("5.1 ping in fragments", frame(9, b"a", first=0) + frame(0, b"b"), 1002),
    ("5.2 pong in fragments", frame(10, b"a", first=0) + frame(0, b"b"), 1002),
    ("5.3 text in fragments", frame(1, b"a", first=0) + frame(0, b"b"), 1008),
    ("5.9 continuation of nothing", frame(0, b"a"), 1002),
    ("5.12 unfinished continuation of nothing", frame(0, b"a", first=0), 1002),
    ("close in fragments", frame(8, b"", first=0), 1002),
    ("6.3.1 text that is not UTF-8", frame(1, b"\xce\xba\xed\xa0\x80"), 1008),
    ("7.1.1 close", close(1000), 1000),
    ("7.1.2 two closes", close(1000) * 2, 1000),
    ("7.1.3 ping behind a close", close(1000) + frame(9, b"late"), 1000),
    ("7.1.4 text behind a close", close(1000) + frame(1, b"late"), 1000),
    ("7.1.6 much behind a close", close(1000) + frame(1, b"x" * 262_144), 1000),
    ("7.3.1 empty close", frame(8), 0),
    ("7.3.2 close of one byte", frame(8, b"a"), 1002),
    ("7.3.3 close of two", close(1000), 1000),
    ("7.3.4 close with a reason", close(1000, b"Hello World!"), 1000),
    ("7.3.5 close of 125", close(1000, b"*" * 123), 1000),
    ("7.3.6 close of 126", close(1000, b"*" * 124), 1002),
    ("7.5.1 reason that is not UTF-8", close(1000, b"\xce\xba\xed\xa0\x80edited"), 1007),
    ("7.5.2 reason cut in a character", close(1000, b"\xe2\x82"), 1007),
    *(
        (f"7.7 code {code}", close(code), code)
        for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
    ),
    *(
        (f"7.9 code {code}", close(code, b"why"), 1002)
        for code in (
            *(0, 1, 125, 999, 1004, 1005, 1006, 1012, 1013, 1014, 1015, 1016, 1100, 2000, 2999),
            *(5000, 65535),
        )
    ),
    ("unmasked ping", frame(9, b"x", masked=False), 1002),
    ("unmasked close", frame(8, struct.pack("!H", 1000), masked=False), 1002),
    ("unmasked text", frame(1, b"x", masked=False), 1002),
    ("text of 2**63 bytes", b"\x81\xff\xff" + b"\xff" * 7, 1008),
    ("ping with a length of 16 bits", b"\x89\xfe\x00\x05" + MASK + b"12345", 1002),
    ("ping with a length of 64 bits", b"\x89\xff" + b"\0" * 7 + b"\x05" + MASK + b"12345", 1002),
    ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 1002),
    ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 1002),
]


def pings_in(sent: bytes) -> int:
    """How many pings these control frames are."""
    count = 0
    while sent:
        count += sent[0] & 0x0F == 9
        sent = sent[6 + (sent[1] & 0x7F) :]
    return count


@pytest.mark.parametrize("piece", [None, 1, 3])
@pytest.mark.parametrize(("sent", "code"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
async def test_the_cases_of_the_suite(
    opened: Opened, sent: bytes, code: int | None, piece: int | None
) -> None:
    opened.send(sent, piece)
    assert opened.transport.code == code
    pongs = [payload for opcode, payload in opened.transport.frames if opcode == 10]
    if code is None:
        assert len(pongs) == pings_in(sent)
        assert not opened.transport.closed
    else:
        assert not pongs
        assert opened.transport.closed or opened.socket.refused


@pytest.mark.parametrize("late", [frame(1, b"late"), frame(9), frame(8, b"x"), b"\xff" * 9_000])
async def test_nothing_behind_a_close_is_looked_at(opened: Opened, late: bytes) -> None:
    opened.send(close(1000) + late)
    assert opened.transport.frames == [(8, struct.pack("!H", 1000))]
    assert not opened.socket.refused


async def test_pongs_have_the_payload_of_their_pings(opened: Opened) -> None:
    payloads = [b"", b"a", b"Hello, world!", bytes(range(125))]
    opened.send(b"".join(frame(9, payload) for payload in payloads))
    assert opened.transport.frames == [(10, payload) for payload in payloads]


@given(payload=st.binary(max_size=125), mask=st.binary(min_size=4, max_size=4))
def test_a_mask_is_taken_off(payload: bytes, mask: bytes) -> None:
    assert unmasked(frame(9, payload, mask=mask)) == payload


@given(payload=st.binary(max_size=125))
@settings(max_examples=300)
def test_closes_are_judged_as_wsproto_judges_them(payload: bytes) -> None:
    """Apart from the codes that are registered for servers, which a client cannot mean."""
    protocol = FrameProtocol(client=False, extensions=[])
    protocol.receive_bytes(frame(8, payload))
    try:
        (found,) = protocol.received_frames()
    except ParseFailed:
        right = False
    else:
        code = int.from_bytes(payload[:2]) if payload else 1000
        right = code not in {1012, 1013, 1014} and code < 5000 and found.opcode is Opcode.CLOSE
    assert (close_answer(payload)[2:] == payload[:2]) == right


@given(first=st.integers(0, 255), second=st.integers(0, 255))
@settings(max_examples=500)
def test_heads_are_judged_as_wsproto_judges_them(first: int, second: int) -> None:
    assume(first & 0x0F != Opcode.CLOSE)  # what is in it is judged above
    protocol = FrameProtocol(client=False, extensions=[])
    length = second & 0x7F
    more = b"\0" * {126: 2, 127: 8}.get(length, 0)
    protocol.receive_bytes(bytes([first, second]) + more + MASK + b"\0" * min(length, 125))
    found: list[Any] = []
    try:
        found = list(protocol.received_frames())
    except ParseFailed:
        assert refusal(first, second) is not None
    if refusal(first, second) is None:
        assert first & 0x0F in {Opcode.PING, Opcode.PONG}
        assert found


FLOODS: dict[str, Callable[[], bytes]] = {
    "empty pongs": lambda: frame(10) * 43_000,
    "empty pings": lambda: frame(9) * 43_000,
    "full pongs": lambda: frame(10, b"x" * 125) * 2_000,
    "full pings": lambda: frame(9, b"x" * 125) * 2_000,
    "mixed": lambda: (frame(9) + frame(10, b"abc")) * 20_000,
}


@pytest.mark.parametrize("piece", [None, 1, 7, 1_460, 65_536])
@pytest.mark.parametrize("kind", list(FLOODS))
async def test_who_floods_is_parted_from_before_it_costs_anything(
    opened: Opened, kind: str, piece: int | None
) -> None:
    sent = FLOODS[kind]()
    taken = 0
    for at in range(0, len(sent), piece or len(sent)):
        if opened.transport.paused:
            break
        part = sent[at : at + (piece or len(sent))]
        opened.socket.data_received(part)
        taken += len(part)
    assert opened.transport.code == 1008
    assert opened.transport.paused, "nothing more is read of who floods"
    assert opened.listener.left == 1, "and nothing more is sent"
    written = sum(map(len, opened.transport.written))
    assert written < 2 * BURST
    if piece is not None:
        assert taken < 2 * BURST + 2 * piece + module._IGNORED_MAX


@pytest.mark.parametrize("piece", [1, 2, 5])
async def test_drips_of_half_frames_are_counted_too(opened: Opened, piece: int) -> None:
    """A client that never ends a frame costs a call for every byte: not for ever."""
    half = frame(9, b"x" * 125)[:-1]
    opened.send(half, piece)
    assert opened.transport.code is None
    assert len(opened.socket._rest) == len(half)
    for _ in range(int(BURST)):
        if opened.socket.refused:
            break
        opened.socket.data_received(b"")
    assert opened.transport.code == 1008


async def test_the_allowance_comes_back_with_time(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    for _ in range(20):
        opened.send(frame(9) * 100)
        assert opened.transport.code is None
        now += BURST / A_SECOND
    opened.send(frame(9) * 300)
    assert opened.transport.code == 1008


async def test_what_a_refused_client_goes_on_to_send_is_thrown_away(opened: Opened) -> None:
    opened.send(frame(1, b"hello"))
    assert opened.transport.code == 1008
    opened.socket.data_received(frame(9) * 10)
    assert not opened.transport.paused
    opened.socket.data_received(b"x" * 5_000)
    assert opened.transport.paused
    assert [opcode for opcode, _ in opened.transport.frames] == [8]


async def test_a_refused_client_is_let_go_when_it_can_have_read_why(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LINGER_S", 0.01)
    opened.send(frame(1, b"hello"))
    assert not opened.transport.closed
    async with asyncio.timeout(10):
        while not opened.transport.aborted:  # noqa: ASYNC110 - a timer of the loop does it
            await asyncio.sleep(0.005)


async def test_the_answer_to_our_own_goodbye_may_repeat_its_code(opened: Opened) -> None:
    opened.socket.part(module._LATER)
    opened.send(close(1013))
    assert opened.transport.code == 1013
    assert opened.transport.closed
    assert not opened.socket.refused


async def test_pings_of_who_does_not_read_are_not_answered_for_ever(opened: Opened) -> None:
    opened.transport.unread = SEND_BUFFER_MAX + 1
    opened.send(frame(9) * 3)
    assert opened.transport.aborted
    assert not opened.transport.written
