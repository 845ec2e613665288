"""The live picture of an occurrence: one reading and one encoded message for everybody.

A :class:`Feed` reads what is free while somebody listens, at most every
``interval_s``, works out what has changed, and writes the same bytes to every
socket. States are absolute, so a difference that starts too early does no harm.
"""

from __future__ import annotations

import asyncio
import logging
import struct
import time
import zlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple, Protocol

import msgspec

from engine.http.schemas import AvailabilityView, CountView, LiveChanges, LiveSnapshot

# Bytes a client may leave unread before it is dropped: the snapshot of 55,000 seats is 60 KiB, a
# busy second of differences some 20 KiB, so this is several seconds of a stalled connection.
SEND_BUFFER_MAX = 262_144
# Differences kept for clients that come back: a minute at four a second.
HISTORY_MAX = 240
_HISTORY_SEATS_MAX = 200_000  # 30 MiB at worst; older differences go first
_WRITES_A_TURN = 200  # at 12 us each; then other requests get their turn
_REST = 3  # times as long as a turn took: 20,000 sockets (250 ms) take a quarter of a process
_FAILURES_LOGGED = 20  # one line in so many failed readings: 5 s

_log = logging.getLogger(__name__)
_encoder = msgspec.json.Encoder()


class Picture(NamedTuple):
    """What is free at ``version``.

    ``sections``: states by section in the order of the map; ``counts`` by the
    ticket type's code; ``free`` by the counter's name.
    """

    version: int
    sections: tuple[bytes, ...]
    counts: dict[str, CountView]
    free: dict[str, int]


class _Difference(NamedTuple):
    start: int
    end: int
    seats: list[tuple[int, int, str]]


class Wire(Protocol):
    """What a feed needs of a socket's transport."""

    def write(self, data: bytes) -> None:
        """Send, or keep until it can be sent."""

    def get_write_buffer_size(self) -> int:
        """Return the bytes kept."""

    def is_closing(self) -> bool:
        """Tell whether nothing can be sent any more."""

    def abort(self) -> None:
        """Close at once and forget what is kept."""


Reader = Callable[[], Awaitable[Picture]]


def text_frame(payload: bytes) -> bytes:
    """Return a whole WebSocket text message as a server sends it (RFC 6455, 5.2: unmasked)."""
    length = len(payload)
    if length <= 125:  # noqa: PLR2004 - the three forms of a frame's length in the RFC
        return struct.pack("!BB", 0x81, length) + payload
    if length <= 0xFFFF:  # noqa: PLR2004 - the same
        return struct.pack("!BBH", 0x81, 126, length) + payload
    return struct.pack("!BBQ", 0x81, 127, length) + payload


def changed_seats(old: Iterable[bytes], new: Iterable[bytes]) -> list[tuple[int, int, str]]:
    """Return [section, position, state] of every seat whose state differs."""
    return [
        (section, position, chr(state))
        for section, (before, after) in enumerate(zip(old, new, strict=True))
        if before is not after and before != after
        for position, (was, state) in enumerate(zip(before, after, strict=True))
        if was != state
    ]


def _shape(picture: Picture) -> list[int]:
    return [len(states) for states in picture.sections]


class Feed:
    """The live picture of one occurrence in this process.

    ``read`` returns the picture as it is now. It may raise; the next turn tries again.
    """

    def __init__(self, read: Reader, interval_s: float) -> None:
        self._read = read
        self._interval_s = interval_s
        self._picture: Picture | None = None
        self._read_at = 0.0
        self._reading: asyncio.Task[Picture] | None = None
        self._history: deque[_Difference] = deque(maxlen=HISTORY_MAX)
        self._history_seats = 0
        self._wires: set[Wire] = set()
        self._loop: asyncio.Task[None] | None = None
        self._body: tuple[Picture, str, bytes] | None = None
        self.dropped = 0

    @property
    def listeners(self) -> int:
        """The number of sockets."""
        return len(self._wires)

    async def picture(self, at_least: int = 0) -> Picture:
        """Return the picture, read within the last interval and not older than a version.

        However many ask at once, one reading serves all.
        """
        picture = self._picture
        fresh = time.monotonic() - self._read_at < self._interval_s
        if picture is not None and fresh and picture.version >= at_least:
            return picture
        if self._reading is None:
            self._reading = asyncio.create_task(self._refresh())
            self._reading.add_done_callback(self._read_done)
        return await asyncio.shield(self._reading)

    async def body(self) -> tuple[str, bytes]:
        """Return ``(ETag, AvailabilityView as JSON)``, encoded once a picture.

        The tag is the version and a checksum: the clock changes ``state`` without a new version.
        """
        picture = await self.picture()
        if self._body is None or self._body[0] is not picture:
            view = AvailabilityView(
                version=picture.version,
                counts=picture.counts,
                sections=[states.decode("ascii") for states in picture.sections],
            )
            body = _encoder.encode(view)
            self._body = (picture, f'"{picture.version}-{zlib.crc32(body):08x}"', body)
        return self._body[1:]

    async def join(self, wire: Wire, known: int | None) -> None:
        """Send what ``wire`` needs first, and from then on every difference.

        ``known``: the version that the client has. It gets the differences since
        then if they are still kept, else a snapshot.
        """
        picture = await self.picture(at_least=known or 0)
        wire.write(text_frame(self._first(picture, known)))
        self._wires.add(wire)
        if self._loop is None:
            self._loop = asyncio.create_task(self._run())

    def leave(self, wire: Wire) -> None:
        """Send nothing more to ``wire``; without listeners the readings end."""
        self._wires.discard(wire)
        if not self._wires and self._loop is not None:
            self._loop.cancel()
            self._loop = None

    async def close(self) -> None:
        """Stop reading."""
        tasks = [task for task in (self._loop, self._reading) if task is not None]
        self._wires.clear()
        self._loop = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _first(self, picture: Picture, known: int | None) -> bytes:
        seats = None if known is None else self._since(known, picture)
        if known is None or seats is None:
            return _encoder.encode(
                LiveSnapshot(
                    version=picture.version,
                    counts=picture.counts,
                    sections=[states.decode("ascii") for states in picture.sections],
                )
            )
        return _encoder.encode(
            LiveChanges(version=picture.version, from_=known, seats=seats, counts=picture.counts)
        )

    def _since(self, known: int, picture: Picture) -> list[tuple[int, int, str]] | None:
        """Return all changes after ``known``, the last of each seat; None if they are not kept."""
        if known == picture.version:
            return []
        if known > picture.version or not self._history or known < self._history[0].start:
            return None
        latest = {
            (section, position): state
            for difference in self._history
            if difference.end > known
            for section, position, state in difference.seats
        }
        return [(section, position, state) for (section, position), state in latest.items()]

    def _read_done(self, task: asyncio.Task[Picture]) -> None:
        self._reading = None
        if not task.cancelled():
            task.exception()  # whoever awaits it handles it; nobody may be left to

    async def _refresh(self) -> Picture:
        old = self._picture
        new = await self._read()
        self._read_at = time.monotonic()
        if old is not None and new == old:
            return old
        # Set before anything is awaited: who joins meanwhile begins with the new one.
        self._picture = new
        if old is None:
            return new
        if new.version < old.version or _shape(old) != _shape(new):
            # The store was rebuilt, or another map was published: everybody begins anew.
            self._history.clear()
            self._history_seats = 0
            message = self._first(new, None)
        else:
            seats = changed_seats(old.sections, new.sections)
            if new.version != old.version:
                self._remember(_Difference(old.version, new.version, seats))
            counts = {
                code: count for code, count in new.counts.items() if old.counts.get(code) != count
            }
            message = _encoder.encode(
                LiveChanges(version=new.version, from_=old.version, seats=seats, counts=counts)
            )
        await self._broadcast(text_frame(message))
        return new

    def _remember(self, difference: _Difference) -> None:
        if len(self._history) == HISTORY_MAX:
            self._history_seats -= len(self._history.popleft().seats)
        self._history.append(difference)
        self._history_seats += len(difference.seats)
        while self._history_seats > _HISTORY_SEATS_MAX:
            self._history_seats -= len(self._history.popleft().seats)

    async def _broadcast(self, frame: bytes) -> None:
        for count, wire in enumerate(tuple(self._wires), 1):
            if wire.is_closing():
                self._wires.discard(wire)
            elif wire.get_write_buffer_size() > SEND_BUFFER_MAX:
                self._wires.discard(wire)
                self.dropped += 1
                wire.abort()
            else:
                wire.write(frame)
            if count % _WRITES_A_TURN == 0:
                await asyncio.sleep(0)

    async def _run(self) -> None:
        failures, took_s = 0, 0.0
        while True:
            await asyncio.sleep(max(self._interval_s, took_s * _REST))
            began = time.monotonic()
            try:
                await self.picture()
                failures = 0
            except Exception:  # noqa: BLE001 - whatever it was, the next turn tries again
                if failures % _FAILURES_LOGGED == 0:
                    _log.warning("the live picture cannot be read", exc_info=True)
                failures += 1
            took_s = time.monotonic() - began
