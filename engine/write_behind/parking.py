"""Where records that cannot be written are parked, and how many may be.

Some records are bad; when nearly all are, the fault is elsewhere, and a
consumer that parked them all would empty the streams of a sale. So parking has
a level, like water in a basin: every parked record raises it by one, records
that are written lower it, and so do time and replays. At ``dead_max`` the
consumer stops, and everything is kept in the streams. Letters of earlier
troubles, however many wait for a person, stop nobody.

The level is one row, locked while letters are parked, in the same transaction:
lanes and workers park one after the other, and a new start finds it as it was.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any, Final

import asyncpg

from engine.platform.jobs.errors import MustStopError
from engine.write_behind import dead_letters, metrics
from engine.write_behind.applier import Bad
from engine.write_behind.dead_letters import describe
from engine.write_behind.tables import Connected

log = logging.getLogger(__name__)

WRITTEN_A_PARKED: Final = 100  # parked records of so many that are written are no burst
DRAINED_S: Final = 3_600.0  # a full basin is empty after an hour in which nothing was parked

# $1: by how much it was lowered by what was written; $2: how much drains a second.
_MEASURE: Final = """
    INSERT INTO dead_letter_level AS l (id, level, measured_at) VALUES (1, 0, now())
    ON CONFLICT (id) DO UPDATE SET measured_at = now(), level = greatest(
        0, l.level - $1::float8 - $2::float8 * extract(epoch FROM now() - l.measured_at))
    RETURNING level"""
_RAISE: Final = "UPDATE dead_letter_level SET level = level + $1"


class Parking:
    """Parks records while the level is below ``dead_max``."""

    def __init__(self, pool: asyncpg.Pool[Any], dead_max: int) -> None:
        self._pool = pool
        self._dead_max = dead_max
        self._written = 0  # since the level was measured

    def wrote(self, records: int) -> None:
        """Note that records were written."""
        self._written += records

    async def check(self) -> None:
        """Raise :class:`MustStopError` when there is no room. Raises what asyncpg raises."""
        async with self._pool.acquire() as connection, connection.transaction():
            room = await self._measure(connection)
            metrics.DEAD_LETTERS.set(await dead_letters.count_waiting(connection))
        if not room:
            raise self.is_full()

    async def park(self, letters: Sequence[Bad]) -> int:
        """Commit the first of the letters, and return how many there was room for.

        Raises what asyncpg raises; then none is parked, and repeating is safe.
        """
        async with self._pool.acquire() as connection, connection.transaction():
            parked = letters[: await self._measure(connection)]
            await dead_letters.park(connection, parked)
            await connection.execute(_RAISE, len(parked))
            waiting = await dead_letters.count_waiting(connection)
        self._written = 0
        metrics.DEAD_LETTERS.set(waiting)
        for entry, error in parked:
            log.error(
                "a record cannot be written and is parked: look at `onsale dead-letters list`",
                extra={
                    "stream": entry.stream,
                    "entry": entry.id,
                    "kind": entry.kind,
                    "error": describe(error),
                },
            )
        return len(parked)

    def is_full(self) -> MustStopError:
        """Return what says that there is no room."""
        return MustStopError(
            f"{self._dead_max} records in a short time cannot be written, so no more are (all are"
            " kept, parked or in the streams): look at `onsale dead-letters list`, repair the"
            " cause, run `onsale dead-letters replay`, and start the worker again"
        )

    async def _measure(self, connection: Connected) -> int:
        """Lock the level, and return for how many letters there is room."""
        level: float = await connection.fetchval(
            _MEASURE, self._written / WRITTEN_A_PARKED, self._dead_max / DRAINED_S
        )
        return max(math.floor(self._dead_max - level), 0)
