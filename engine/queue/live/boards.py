"""The boards of a process: the lines that are asked for, each read once for all who ask."""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from itertools import islice

from redis.asyncio import Redis

from engine.queue.live.board import Board, BoardReader
from engine.sale.inventory.occurrences import Occurrences

_AGE_S_MAX = 1.0  # of a board that an answer may still be made of, while the next is read


class _Kept:
    """The last board of an occurrence, and the reading of the next one.

    ``read_at``, ``changes_at``: monotonic s; a board is not told any more when the clock has
    changed what can be had.
    """

    __slots__ = ("board", "changes_at", "read", "read_at", "reading")

    def __init__(self, read: BoardReader) -> None:
        self.read = read
        self.board: Board | None = None
        self.read_at = 0.0
        self.changes_at = math.inf
        self.reading: asyncio.Task[Board] | None = None


def _looked_at(task: asyncio.Task[Board]) -> None:
    """Note a failed reading as seen: whoever waits is told, and nobody may wait."""
    if not task.cancelled():
        task.exception()


class Boards:
    """The boards of a process; each is read at most once an ``interval_s``, whoever asks.

    At most ``boards_max`` are kept: those that were asked for last.
    """

    def __init__(
        self, client: Redis, occurrences: Occurrences, interval_s: float, boards_max: int
    ) -> None:
        self._client = client
        self._occurrences = occurrences
        self._interval_s = interval_s
        self._boards_max = boards_max
        self._kept: OrderedDict[str, _Kept] = OrderedDict()  # who was asked for last is last

    def at_hand(self, occurrence: str) -> Board | None:
        """Return the board of this moment or the one before: the hot path's look-up.

        When it is not fresh any more the next one is read meanwhile.
        """
        kept = self._kept.get(occurrence)
        if kept is None:
            return None
        self._kept.move_to_end(occurrence)
        now_s = time.monotonic()
        age_s = now_s - kept.read_at
        if age_s >= self._interval_s or now_s >= kept.changes_at:
            self._reading(kept)
            if age_s >= _AGE_S_MAX or now_s >= kept.changes_at:
                return None
        return kept.board

    async def get(self, occurrence: str, *, newest: bool = False) -> Board:
        """Return the board, not older than the interval; ``newest``: read now.

        Raises ``OccurrenceUnknownError``, ``StoreUnavailableError``.
        """
        kept = self._kept.get(occurrence)
        if kept is None:
            await self._occurrences.get(occurrence)  # what is not published is not kept
            kept = self._kept.setdefault(
                occurrence, _Kept(BoardReader(self._client, self._occurrences, occurrence))
            )
            self._make_room(occurrence)
        self._kept.move_to_end(occurrence)
        if kept.board is not None and not newest and self._is_fresh(kept):
            return kept.board
        return await asyncio.shield(self._reading(kept))

    def _make_room(self, for_: str) -> None:
        """Drop those that nobody has asked for the longest; none that is being read."""
        excess = len(self._kept) - self._boards_max
        if excess < 1:
            return
        idle = (name for name, kept in self._kept.items() if kept.reading is None and name != for_)
        for name in list(islice(idle, excess)):
            del self._kept[name]

    def _is_fresh(self, kept: _Kept) -> bool:
        now_s = time.monotonic()
        return now_s - kept.read_at < self._interval_s and now_s < kept.changes_at

    def _reading(self, kept: _Kept) -> asyncio.Task[Board]:
        if kept.reading is None:
            kept.reading = asyncio.create_task(self._read(kept))
            kept.reading.add_done_callback(_looked_at)
        return kept.reading

    async def _read(self, kept: _Kept) -> Board:
        try:
            began = time.monotonic()
            kept.board = board = await kept.read()
            kept.read_at = time.monotonic()
            changes_in_ms = (
                math.inf if board.changes_ms is None else board.changes_ms - board.wall_ms
            )
            kept.changes_at = began + changes_in_ms / 1000
            return board
        finally:
            kept.reading = None

    async def stop(self) -> None:
        """Wait for readings that are under way."""
        readings = [kept.reading for kept in self._kept.values() if kept.reading is not None]
        await asyncio.gather(*readings, return_exceptions=True)
