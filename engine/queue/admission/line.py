"""One line as its leader sees it: opens it, draws it, and calls people out of it."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import time
from typing import Any, Final, NamedTuple

import msgspec
from redis.asyncio import Redis

from engine.platform.valkey.codes import Code
from engine.platform.valkey.errors import StoreUnavailableError
from engine.queue import store as waiting
from engine.queue.admission import metrics
from engine.queue.admission.controller import Controller, Decision, Edge, Observation
from engine.queue.documents import Queue
from engine.queue.draw import numbers as draw
from engine.queue.live.board import Board
from engine.sale.service import Sale

CALLS_MAX: Final = 200  # of one script call, as in lua/queue_call.lua
_SLOTS_MAX: Final = 1_000  # the same
_SPARE: Final = 24  # places beyond those that may be called: some were given up
_AT_ONCE: Final = 100  # numbers are turned into places in the loop: 11 us each
_ROUNDS_MAX: Final = 8  # script calls a step: 8,000 places that were given up are passed in one
_PAUSES_S: Final = (0.0, 0.5, 1.0)  # after failures in a row: what is broken is tried seldom
_SOON_MS: Final = 1_500  # from when on an opening is waited for
_PURGE_S: Final = 1.0  # how often no-shows are counted while nobody may be called
_LOG_S: Final = 1.0  # at most a line of log so often
_LOG_CHANGE: Final = 0.25  # of the rate is worth a line

# Why nobody is called although all is known: only what somebody does to the line changes that.
_RESTING: Final = frozenset({"off", "closed", "not_open", "paused", "nobody_waiting"})

log = logging.getLogger(__name__)


class FencedError(Exception):
    """A leader with a newer ``fence`` calls this line."""

    def __init__(self, fence: int) -> None:
        super().__init__(f"a leader with fence {fence} calls this line")
        self.fence = fence


class _Rest(NamedTuple):
    """How a line was when there was nothing to do, and when (wall clock) there will be."""

    version: int
    packed: waiting.Packed
    until_ms: float


class Line:
    """Leads the line of one occurrence; :meth:`step` five times a second, :meth:`end` at last.

    Where there is nothing to do the line rests: it takes no steps until it :meth:`stirs`.
    """

    def __init__(self, sale: Sale, client: Redis, occurrence: str, place: str) -> None:
        self._sale = sale
        self._client = client
        self.occurrence = occurrence
        self.place = place  # what its keys begin with
        self._controller = Controller()
        self._key: bytes | None = None
        self._indices: dict[int, int] = {}  # number -> index, of the next to be called
        self._idle_until_s = -math.inf
        self._failures = 0
        self.resting = True  # until it was looked at
        self._rest: _Rest | None = None
        self._purged_s = -math.inf
        self._logged_s = -math.inf
        self._logged: Decision | None = None
        self._told = False
        self._ended = False

    def stirs(self, packed: waiting.Packed, wall_ms: int) -> bool:
        """Tell whether a line that rests has something to do, from what :func:`glance` has read."""
        rest = self._rest
        return rest is None or packed != rest.packed or wall_ms >= rest.until_ms

    def wake_for(self, version: int) -> None:
        """Rest no more when another version of the occurrence is published."""
        if self._rest is not None and self._rest.version != version:
            self._rest = None

    def failed(self) -> bool:
        """Note a step that failed, and pause; tell whether it is the first in a row."""
        self._failures += 1
        pause_s = _PAUSES_S[min(self._failures, len(_PAUSES_S)) - 1]
        self._idle_until_s = time.monotonic() + pause_s
        self.resting = False
        return self._failures == 1

    async def step(self, fence: int, edge: Edge | None) -> int:
        """Look, decide, call. Returns how many were called.

        Raises ``FencedError``, ``OccurrenceUnknownError``, ``StoreUnavailableError``,
        ``OverloadedError``, ``RedisError``.
        """
        if time.monotonic() < self._idle_until_s:
            return 0
        board = await self._sale.waiting.boards.get(self.occurrence, newest=True)
        if board.queue.phase == "planned" and board.opens_in_ms == 0 and board.queue.on:
            await self._sale.commands.queue_open(board.published.place)
            board = await self._sale.waiting.boards.get(self.occurrence, newest=True)
        if board.queue.drawn < 0:
            self._key = None  # the store was rebuilt, and the line began anew
            self._indices.clear()
        elif self._key is None:
            self._key = await self._draw(board)
        now_s = time.monotonic()
        decision = self._controller.decide(self._seen(board, edge), now_s)
        self._tell(board, decision, now_s)
        called = await self._call(board, decision, fence, now_s)
        self._failures = 0
        self._rest = self._rests(board, decision)
        self.resting = self._rest is not None
        return called

    def _rests(self, board: Board, decision: Decision) -> _Rest | None:
        """Return how the line rests; None: there is something to do, or soon will be."""
        queue, snapshot = board.queue, board.published.snapshot
        if decision.reason not in _RESTING or board.called:
            return None
        if queue.on and queue.phase == "planned" and board.opens_in_ms <= _SOON_MS:
            return None
        if queue.drawn >= 0 and self._key is None:
            return None
        moments = (queue.opens - _SOON_MS, snapshot.sale_starts_at, snapshot.sale_ends_at)
        return _Rest(
            version=board.published.version,
            packed=board.packed,
            until_ms=min((one for one in moments if one > board.wall_ms), default=math.inf),
        )

    def end(self) -> None:
        """Lead no more."""
        self._ended = True
        if self._told:
            metrics.forget(self.occurrence)

    async def _draw(self, board: Board) -> bytes | None:
        """Return the key of the draw, having drawn if nobody has; None: the roster was reopened."""
        shard, n = board.published.shard, board.queue.drawn
        found = await waiting.read_draw(self._client, shard, self.occurrence)
        if not found.digest:
            began_s = time.monotonic()
            digest = await self._digest(shard, n)
            answer = await self._sale.commands.queue_draw(board.published.place, digest, n)
            if answer[0] != Code.OK:
                return None
            log.info(
                "the line is drawn",
                extra={
                    "occurrence": self.occurrence,
                    "places": n,
                    "digest": digest,
                    "took_ms": round((time.monotonic() - began_s) * 1000),
                },
            )
            found = await waiting.read_draw(self._client, shard, self.occurrence)
        return draw.draw_key(bytes.fromhex(found.seed), bytes.fromhex(found.digest))

    async def _digest(self, shard: int, n: int) -> str:
        """Return the SHA-256 of the closed roster, a page at a time."""
        digest = hashlib.sha256()
        for start in range(0, n, waiting.ROSTER_PAGE_MAX):
            count = min(n - start, waiting.ROSTER_PAGE_MAX)
            page = await waiting.read_roster(self._client, shard, self.occurrence, start, count)
            if len(page) != count * draw.LEAF_BYTES:
                raise StoreUnavailableError(
                    f"the roster of {n} places ends within the page {start}"
                )
            await asyncio.to_thread(digest.update, page)
        return digest.hexdigest()

    def _seen(self, board: Board, edge: Edge | None) -> Observation:
        queue = board.queue
        # before the sale, or between two prices: nobody could hold anything yet
        early = board.wall_ms < max(board.published.snapshot.sale_starts_at, board.on_sale_ms)
        return Observation(
            on=queue.on,
            phase="closed" if board.closed else "planned" if early else queue.phase,
            drawn=self._key is not None,
            paused=board.paused,
            rate_milli=math.ceil(board.most_calls_per_s * 1000),
            cap=queue.cap,
            waiting=_last(queue) - queue.served,
            inside=queue.inside,
            called=board.called,
            free=board.by_map,
            held=board.held,
            outlook=board.outlook,
            edge=edge,
        )

    async def _call(self, board: Board, decision: Decision, fence: int, now_s: float) -> int:
        queue = board.queue
        if decision.allowed == 0 or self._key is None:
            if board.called and not board.paused and now_s - self._purged_s >= _PURGE_S:
                self._purged_s = now_s
                await self._submit(board, fence, queue.served, [], decision, 0)
            return 0
        called, served, last = 0, queue.served, _last(queue)
        for turn in range(_ROUNDS_MAX):
            wanted = min(decision.allowed - called, CALLS_MAX)
            # those who have left are passed over: in strides, where there are many of them
            count = min(wanted + _SPARE if turn == 0 else _SLOTS_MAX, last - served)
            if wanted < 1 or count < 1:
                break
            indices = await self._next(served + 1, count, queue.drawn)
            answer = await self._submit(board, fence, served, indices, decision, wanted)
            if answer is None:
                break
            called, before, served = called + answer[1], served, answer[2]
            if answer[1] < wanted and served - before < count:
                break  # the rate or the cap allows no more
        for number in [number for number in self._indices if number <= served]:
            del self._indices[number]
        if called:
            metrics.CALLS.labels(self.occurrence).inc(called)
        return called

    async def _submit(
        self,
        board: Board,
        fence: int,
        start: int,
        indices: list[int],
        decision: Decision,
        allowed: int,
    ) -> list[Any] | None:
        """Call; None: another has called meanwhile, or nobody can be called here any more."""
        answer = await self._sale.commands.queue_call(
            board.published.place, fence, start, indices, allowed, decision.rate_milli
        )
        if answer[0] == Code.FENCED:
            raise FencedError(answer[1])
        return answer if answer[0] == Code.OK else None

    async def _next(self, first: int, count: int, n: int) -> list[int]:
        """Return the places in the roster of ``count`` numbers, of which ``n`` were drawn."""
        numbers = range(first, first + count)
        unknown = [number for number in numbers if number not in self._indices]
        if unknown:
            key = self._key or b""
            if len(unknown) > _AT_ONCE:
                found = await asyncio.to_thread(_places, key, n, unknown)
            else:
                found = _places(key, n, unknown)
            self._indices.update(zip(unknown, found, strict=True))
        return [self._indices[number] for number in numbers]

    def _tell(self, board: Board, decision: Decision, now_s: float) -> None:
        if self._ended:
            return  # in the middle of a step
        self._told = True
        queue = board.queue
        metrics.tell(board, decision, _last(queue) - queue.served)
        before = self._logged
        if before is not None:
            step = abs(decision.rate_milli - before.rate_milli)
            small = step <= _LOG_CHANGE * max(decision.rate_milli, before.rate_milli)
            if (before.reason == decision.reason and small) or now_s - self._logged_s < _LOG_S:
                return
        self._logged, self._logged_s = decision, now_s
        log.info(
            "admission: %s",
            decision.reason,
            extra={
                "occurrence": self.occurrence,
                "reason": decision.reason,
                "rate": decision.rate_milli / 1000,
                "allowed": decision.allowed,
                "serving": queue.served,
                "inside": queue.inside,
                "called": board.called,
                "waiting": _last(queue) - queue.served,
                "free": board.free,
                "held": board.held,
            },
        )


def moves(packed: waiting.Packed, wall_ms: int) -> bool:
    """Tell from a glance whether a line has people to call, or to draw in a moment."""
    try:
        queue = waiting.decode_queue(packed[0] or b"")
    except msgspec.MsgspecError:
        return False  # its step says what is wrong
    if queue.phase == "planned":
        return queue.on and queue.opens - _SOON_MS <= wall_ms and queue.count + queue.slow > 0
    return queue.on and queue.phase != "closed" and _last(queue) > queue.served


def _last(queue: Queue) -> int:
    """Return the last number that is given out, or kept for the slow lane."""
    return max(queue.count, queue.tail + 1)


def _places(key: bytes, n: int, numbers: list[int]) -> list[int]:
    """Return the places in the roster of numbers: drawn, or in the order of arrival behind."""
    return [draw.invert(key, n, m - 1) if m <= n else m - 1 for m in numbers]
