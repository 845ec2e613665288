"""Gets entries into PostgreSQL, and sets the ones apart that cannot be written."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Final

import asyncpg
from redis.asyncio import Redis

from engine.core.errors import MustStopError
from engine.persist import dead_letters, metrics
from engine.persist.names import NamesCache
from engine.persist.records import AnyRecord, Entry
from engine.persist.tables import Connected
from engine.persist.writer import BAD_DATA, write_records

log = logging.getLogger(__name__)

# A seat that was given back and sold again may come in the wrong order when two consumers share
# a stream: the other's transaction needs milliseconds, so a second is ample.
_SEAT_RETRIES_S: Final = (0.05, 0.2, 0.8)


class Applier:
    """Writes entries; ``dead_max``: parked records at which it refuses to go on."""

    def __init__(self, client: Redis, pool: asyncpg.Pool[Any], *, dead_max: int) -> None:
        self._pool = pool
        self._dead_max = dead_max
        self._cache = NamesCache(client)

    async def apply(self, records: Sequence[AnyRecord]) -> None:
        """Write all records, in one transaction unless some of them are bad.

        When it returns, each of them is committed, in its tables or as a dead
        letter. Raises :class:`MustStopError` when there are too many letters,
        else what asyncpg raises; then it is repeated as a whole, without harm.
        """
        if records:
            async with self._pool.acquire() as connection:
                await self._apply(connection, records)

    async def park(self, entry: Entry, error: Exception) -> None:
        """Commit a dead letter. Raises as :meth:`apply`."""
        async with self._pool.acquire() as connection:
            await self._park(connection, entry, error)

    async def check(self) -> None:
        """Raise :class:`MustStopError` when too many records are parked."""
        async with self._pool.acquire() as connection:
            await self._check(connection)

    async def _check(self, connection: Connected) -> None:
        parked = await dead_letters.count_waiting(connection)
        metrics.DEAD_LETTERS.set(parked)
        if parked >= self._dead_max:
            raise MustStopError(
                f"{parked} records are parked, so no more are written (all are kept in the"
                " streams): look at `onsale dead-letters list`, repair the cause, run"
                " `onsale dead-letters replay`, and start the worker again"
            )

    async def _apply(self, connection: Connected, records: Sequence[AnyRecord]) -> None:
        try:
            with metrics.COMMIT_SECONDS.time():
                await write_records(connection, records, self._cache)
            metrics.BATCHES.inc()
        except BAD_DATA as error:
            if len(records) > 1:
                half = len(records) // 2
                await self._apply(connection, records[:half])
                await self._apply(connection, records[half:])
            elif not await self._seat_is_free_by_now(connection, records[0], error):
                await self._park(connection, records[0].entry, error)

    async def _seat_is_free_by_now(
        self, connection: Connected, record: AnyRecord, error: Exception
    ) -> bool:
        """Write a record after all whose seat another consumer was about to give back."""
        if not isinstance(error, asyncpg.UniqueViolationError):
            return False
        for pause in _SEAT_RETRIES_S:
            await asyncio.sleep(pause)
            try:
                await write_records(connection, [record], self._cache)
            except asyncpg.UniqueViolationError:
                continue
            return True
        return False

    async def _park(self, connection: Connected, entry: Entry, error: Exception) -> None:
        await self._check(connection)
        await dead_letters.park(connection, entry, error)
        metrics.DEAD_LETTERS.inc()
        log.error(
            "a record cannot be written and is parked: look at `onsale dead-letters list`",
            extra={
                "stream": entry.stream,
                "entry": entry.id,
                "kind": entry.kind,
                "error": dead_letters.describe(error),
            },
        )
