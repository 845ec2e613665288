"""The live picture of an occurrence: one reading and one encoded message for everybody.

A :class:`Feed` reads what is free while somebody listens, at most every
``interval_s``, works out what has changed, and writes the same bytes to every
socket. States are absolute, so a difference that starts too early does no harm.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

import msgspec

from engine.platform.http.conditional import etag_of
from engine.platform.http.websocket.broadcast import Broadcast, Wire, text_frame
from engine.sale.inventory.schemas import AvailabilityView, CountView, LiveChanges, LiveSnapshot

# Differences kept for clients that come back: a minute at four a second.
HISTORY_MAX = 240
_HISTORY_SEATS_MAX = 200_000  # 30 MiB at worst; older differences go first
_REST = 3  # times as long as a turn took: 20,000 sockets (250 ms) take a quarter of a process
_FAILURES_LOGGED = 20  # one line in so many failed readings: 5 s

_log = logging.getLogger(__name__)
_encoder = msgspec.json.Encoder()


class Picture(NamedTuple):
    """What is free at ``version``.

    ``sections``: states by section in the order of the map; ``counts`` by the
    ticket type's code; ``free`` as :mod:`engine.sale.inventory.stock` takes it. ``changes_ms``: the
    wall-clock time at which the clock alone changes the counts; None: never.
    """

    version: int
    sections: tuple[bytes, ...]
    counts: dict[str, CountView]
    free: dict[str, int]
    paused: bool = False
    changes_ms: int | None = None


class _Difference(NamedTuple):
    start: int
    end: int
    seats: list[tuple[int, int, str]]


Reader = Callable[[], Awaitable[Picture]]


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
    ``clock``: seconds since the epoch, by which the pictures go.
    """

    def __init__(
        self, read: Reader, interval_s: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._read = read
        self._interval_s = interval_s
        self._clock = clock
        self._picture: Picture | None = None
        self._read_at = 0.0
        self._reading: asyncio.Task[Picture] | None = None
        self._history: deque[_Difference] = deque(maxlen=HISTORY_MAX)
        self._history_seats = 0
        self._audience = Broadcast()
        self._loop: asyncio.Task[None] | None = None
        self._body: tuple[Picture, str, bytes] | None = None

    @property
    def listeners(self) -> int:
        """The number of sockets."""
        return len(self._audience)

    @property
    def dropped(self) -> int:
        """Sockets dropped for not reading."""
        return self._audience.dropped

    async def picture(self, at_least: int = 0) -> Picture:
        """Return the picture, read within the last interval and not older than a version.

        However many ask at once, one reading serves all. One that the clock has changed is not
        told any more.
        """
        picture = self._picture
        fresh = time.monotonic() - self._read_at < self._interval_s
        if picture is not None and fresh and picture.version >= at_least and self._holds(picture):
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
            self._body = (picture, etag_of(body, picture.version), body)
        return self._body[1:]

    async def join(self, wire: Wire, known: int | None) -> None:
        """Send what ``wire`` needs first, and from then on every difference.

        ``known``: the version that the client has. It gets the differences since
        then if they are still kept, else a snapshot.
        """
        picture = await self.picture(at_least=known or 0)
        wire.transport.write(text_frame(self._first(picture, known)))
        self._audience.add(wire)
        if self._loop is None:
            self._loop = asyncio.create_task(self._run())

    def leave(self, wire: Wire, who: str = "") -> None:
        """Send nothing more to ``wire``; without listeners the readings end."""
        del who  # everybody is told the same
        self._audience.discard(wire)
        if not self._audience and self._loop is not None:
            self._loop.cancel()
            self._loop = None

    async def close(self) -> None:
        """Stop reading."""
        tasks = [task for task in (self._loop, self._reading) if task is not None]
        self._audience.clear()
        self._loop = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _holds(self, picture: Picture) -> bool:
        return picture.changes_ms is None or self._clock() * 1000 < picture.changes_ms

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
        await self._audience.send(text_frame(message))
        return new

    def _remember(self, difference: _Difference) -> None:
        if len(self._history) == HISTORY_MAX:
            self._history_seats -= len(self._history.popleft().seats)
        self._history.append(difference)
        self._history_seats += len(difference.seats)
        while self._history_seats > _HISTORY_SEATS_MAX:
            self._history_seats -= len(self._history.popleft().seats)

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
