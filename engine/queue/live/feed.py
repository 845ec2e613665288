"""The line, live: one broadcast for everybody in it, and a word to those whose turn it is.

A :class:`QueueFeed` reads the shared state of a line while somebody listens and
writes the same bytes to every socket, only when they have changed. A socket's
place is looked at when its number is called, and from then on once a second
until it is over, all such places together; nobody else costs anything. Who
waits works out from the broadcast how far it is.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec
from aiohttp import WSCloseCode

from engine.core.tasks import end
from engine.platform.http.websocket.broadcast import Broadcast, Wire, close_frame, text_frame
from engine.queue.live.serving import ServingView
from engine.queue.views import QueueView

DEVICES_MAX = 4  # sockets of one buyer to one line in one process; the oldest makes way
_LOOKS_MAX = 256  # places looked at together: two script calls, some 2 ms
_LOOK_S = 1.0  # how soon a step that was taken on another device, or no step in time, is told
_REST = 3  # times as long as a broadcast took: 20,000 sockets (250 ms) take a quarter of a process
_FAILURES_LOGGED = 20  # one line in so many failures in a row: some 5 s

_TOLD = frozenset({"called", "inside", "done", "expired", "closed"})
_TURN = frozenset({"called", "inside"})  # looked at once a second
_OVER = frozenset({"done", "expired"})  # nothing more will come: the connection ends
_OVER_FRAME = close_frame(WSCloseCode.OK, "this place is over")
_GONE_FRAME = close_frame(WSCloseCode.OK, "no place in this line")
_MOVED_FRAME = close_frame(WSCloseCode.POLICY_VIOLATION, "open on too many devices")

_log = logging.getLogger(__name__)
_encoder = msgspec.json.Encoder()


class Shared(Protocol):
    """What all in a line share; :class:`~engine.queue.live.board.Board` has it."""

    @property
    def version(self) -> int:
        """Another one: another content."""

    @property
    def serving(self) -> ServingView:
        """How the line stands."""

    @property
    def body(self) -> bytes:
        """The same as JSON."""


Read = Callable[[], Awaitable[Shared]]
Look = Callable[[Sequence[str]], Awaitable[list[QueueView | None]]]


class ServingMessage(ServingView, tag_field="kind", tag="serving", kw_only=True):
    """How the line stands: the first message, and again whenever it has changed."""


class YouMessage(QueueView, tag_field="kind", tag="you", kw_only=True):
    """Your place: the second message, and again when it is called, inside, done or expired."""


def serving_frame(body: bytes) -> bytes:
    """Return the frame of a :class:`ServingMessage`, from the JSON of its ``ServingView``."""
    return text_frame(b'{"kind":"serving",' + body[1:])


def you_frame(view: QueueView) -> bytes:
    """Return the frame of a :class:`YouMessage`."""
    return text_frame(b'{"kind":"you",' + _encoder.encode(view)[1:])


class QueueCounts:
    """What the lines of a process have sent: to all of their sockets, and to single ones."""

    def __init__(self) -> None:
        self.broadcasts = 0
        self.told = 0


class Place:
    """A buyer in line with sockets here, one a device."""

    __slots__ = ("buyer", "number", "state", "wires")

    def __init__(self, buyer: str) -> None:
        self.buyer = buyer
        self.number: int | None = None
        self.state = ""
        self.wires: tuple[Wire, ...] = ()


class QueueFeed:
    """The line of one occurrence in this process.

    ``read`` returns its shared state, ``look`` the places of many buyers (None:
    no place). Both may raise; they are asked again.
    """

    def __init__(self, read: Read, look: Look, interval_s: float, counts: QueueCounts) -> None:
        self._read = read
        self._look = look
        self._interval_s = interval_s
        self._audience = Broadcast()
        self._places: dict[str, Place] = {}
        self._numbers: dict[int, Place] = {}
        self._watched: set[Place] = set()
        self._urgent: dict[Place, None] = {}  # their turn has come: to be looked at first
        self._later: dict[Place, None] = {}  # the draw has given them a number
        self._version: int | None = None
        self._serving = 0
        self._drawn = False
        self._frame: tuple[bytes, bytes] = (b"", b"")  # a body and its frame
        self._wake = asyncio.Event()
        self._tasks: dict[Callable[[], Awaitable[None]], asyncio.Task[None]] = {}
        self._counts = counts

    @property
    def listeners(self) -> int:
        """The number of sockets."""
        return len(self._audience)

    @property
    def dropped(self) -> int:
        """Sockets dropped for not reading."""
        return self._audience.dropped

    async def join(self, wire: Wire, view: QueueView, buyer: str) -> None:
        """Send ``wire`` how the line stands and its buyer's place, and from then on what changes.

        ``view``: the place as it was read a moment ago.
        """
        board = await self._read()
        first = self._frame_of(board) + you_frame(view)
        if view.state in _OVER:
            wire.transport.write(first)
            wire.part(_OVER_FRAME)
            return
        wire.transport.write(first)
        if not self._audience:  # nobody was told anything; this one knows the newest
            self._version = board.version
            self._advance(board.serving)
        self._audience.add(wire)
        place = self._places.get(buyer)
        if place is None:
            place = self._places[buyer] = Place(buyer)
        self._learn(place, view)
        if len(place.wires) >= DEVICES_MAX:
            self._part(place, place.wires[0], _MOVED_FRAME)
        place.wires += (wire,)
        self._run(self._broadcast)
        self._run(self._look_after)

    def leave(self, wire: Wire, who: str) -> None:
        """Send nothing more to ``wire``; without listeners the readings end."""
        self._audience.discard(wire)
        place = self._places.get(who)
        if place is None or wire not in place.wires:
            return
        place.wires = tuple(one for one in place.wires if one is not wire)
        if not place.wires:
            self._forget(place)
        if not self._audience:
            self._wake.set()

    async def close(self) -> None:
        """Stop reading."""
        self._audience.clear()
        for task in self._tasks.values():
            await end(task)
        self._tasks.clear()

    def _run(self, work: Callable[[], Awaitable[None]]) -> None:
        task = self._tasks.get(work)
        if task is None or task.done():
            self._tasks[work] = asyncio.create_task(self._repeat(work))

    async def _repeat(self, work: Callable[[], Awaitable[None]]) -> None:
        failures = 0
        while self._audience:
            try:
                await work()
                failures = 0
            except Exception:  # noqa: BLE001 - whatever it was, the next turn tries again
                if failures % _FAILURES_LOGGED == 0:
                    _log.warning("the line cannot be read", exc_info=True)
                failures += 1
                await asyncio.sleep(self._interval_s)

    async def _broadcast(self) -> None:
        """Read the line, tell everybody if it has changed, and rest."""
        board = await self._read()
        began = time.monotonic()
        self._advance(board.serving)
        if board.version != self._version:
            self._version = board.version
            self._counts.broadcasts += 1
            await self._audience.send(self._frame_of(board))
        await asyncio.sleep(max(self._interval_s, (time.monotonic() - began) * _REST))

    def _frame_of(self, board: Shared) -> bytes:
        if self._frame[0] is not board.body:
            self._frame = (board.body, serving_frame(board.body))
        return self._frame[1]

    def _advance(self, now: ServingView) -> None:
        """Note whose places must be looked at as the line has moved, or was drawn."""
        before, self._serving = self._serving, now.serving
        if now.drawn and not self._drawn:
            self._later.update((place, None) for place in self._places.values())
        self._drawn = now.drawn
        if now.serving - before < len(self._numbers):
            called = [self._numbers.get(n) for n in range(before + 1, now.serving + 1)]
        else:
            called = [p for n, p in self._numbers.items() if before < n <= now.serving]
        self._urgent.update((place, None) for place in called if place is not None)
        if self._urgent or self._later:
            self._wake.set()

    async def _look_after(self) -> None:
        """Look at those whose turn it is for a second, and once at each of them at its end."""
        until = time.monotonic() + _LOOK_S
        while self._audience and (left_s := until - time.monotonic()) > 0:
            places = self._next()
            if places:
                await self._look_at(places)
                continue
            self._wake.clear()
            try:
                async with asyncio.timeout(left_s):
                    await self._wake.wait()
            except TimeoutError:
                break
        self._urgent.update((place, None) for place in self._watched)

    def _next(self) -> list[Place]:
        """Return the places to look at now, the most urgent first; they are done with."""
        found: list[Place] = []
        for due in (self._urgent, self._later):
            while due and len(found) < _LOOKS_MAX:
                place = next(iter(due))
                del due[place]
                found.append(place)
        return found

    async def _look_at(self, places: list[Place]) -> None:
        try:
            views = await self._look([place.buyer for place in places])
        except Exception:
            self._urgent.update((place, None) for place in places if place.wires)
            raise
        for place, view in zip(places, views, strict=True):
            if not place.wires:
                continue  # its last socket went meanwhile
            if view is None:
                self._end(place, _GONE_FRAME)
            else:
                self._learn(place, view)
        await asyncio.sleep(0)

    def _learn(self, place: Place, view: QueueView) -> None:
        """Take in how a place is now, and tell its sockets if that is news for them."""
        if view.number != place.number:
            self._unnumber(place)
            place.number = view.number
            if view.number is not None:
                self._numbers[view.number] = place
        news, place.state = view.state != place.state, view.state
        # The broadcast is ahead of what was read of the place: it is looked at again.
        stale = self._drawn if view.number is None else view.number <= self._serving
        if view.state in _TURN or (stale and view.state not in _TOLD):
            self._watched.add(place)
        else:
            self._watched.discard(place)
        if news and view.state in _TOLD:
            frame = you_frame(view)
            self._counts.told += sum(self._audience.tell(wire, frame) for wire in place.wires)
        if view.state in _OVER:
            self._end(place, _OVER_FRAME)

    def _end(self, place: Place, frame: bytes) -> None:
        """Part from all sockets of a place."""
        for wire in place.wires:
            self._part(place, wire, frame)
        self._forget(place)

    def _part(self, place: Place, wire: Wire, frame: bytes) -> None:
        """Say good-bye to one socket."""
        wire.part(frame)
        self._audience.discard(wire)
        place.wires = tuple(one for one in place.wires if one is not wire)

    def _forget(self, place: Place) -> None:
        self._unnumber(place)
        self._watched.discard(place)
        self._urgent.pop(place, None)
        self._later.pop(place, None)
        if self._places.get(place.buyer) is place:
            del self._places[place.buyer]

    def _unnumber(self, place: Place) -> None:
        if place.number is not None and self._numbers.get(place.number) is place:
            del self._numbers[place.number]
