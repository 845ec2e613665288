"""Gets entries into PostgreSQL, and tells which ones cannot be written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import asyncpg
from redis.asyncio import Redis

from engine.write_behind import metrics
from engine.write_behind.names import NamesCache
from engine.write_behind.records import AnyRecord, Entry
from engine.write_behind.tables import Connected
from engine.write_behind.writer import BAD_DATA, write_records


class Bad(NamedTuple):
    """An entry that cannot be written, and what it meets."""

    entry: Entry
    error: Exception


class Applier:
    """Writes entries."""

    def __init__(self, client: Redis, pool: asyncpg.Pool[Any]) -> None:
        self._pool = pool
        self._cache = NamesCache(client)

    async def apply(self, records: Sequence[AnyRecord]) -> list[Bad]:
        """Write all records but the bad ones, which are returned; one transaction if none is.

        When it returns, each of the others is committed. Raises what asyncpg
        raises; then it is repeated as a whole, without harm.
        """
        if not records:
            return []
        async with self._pool.acquire() as connection:
            return await self._apply(connection, records)

    async def _apply(self, connection: Connected, records: Sequence[AnyRecord]) -> list[Bad]:
        try:
            with metrics.COMMIT_SECONDS.time():
                await write_records(connection, records, self._cache)
        except BAD_DATA as error:
            if len(records) == 1:
                return [Bad(records[0].entry, error)]
            half = len(records) // 2
            first = await self._apply(connection, records[:half])
            return first + await self._apply(connection, records[half:])
        metrics.BATCHES.inc()
        return []
