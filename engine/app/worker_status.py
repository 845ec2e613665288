"""Says how the workers are doing: to Prometheus, and to the edge by way of Redis."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

import asyncpg
from redis.asyncio import Redis

from engine.platform.telemetry.heartbeat import PostgresState, write_worker_status
from engine.write_behind import metrics
from engine.write_behind.backlog import read_backlog

log = logging.getLogger(__name__)

_POSTGRES_S: Final = 2.0  # a server that needs longer for SELECT 1 does not count as up


class Status:
    """A service that looks at the backlog and at PostgreSQL every second."""

    name = "status"
    interval_s = 1.0

    def __init__(self, client: Redis, pool: asyncpg.Pool[Any]) -> None:
        self._client = client
        self._pool = pool

    async def run_once(self) -> int:
        """Measure and tell. Raises ``RedisError``."""
        backlog = await read_backlog(self._client)
        metrics.BACKLOG.set(backlog.records)
        metrics.LAG.set(backlog.lag_s)
        postgres = await self._postgres()
        metrics.POSTGRES_UP.set(postgres == "up")
        await write_worker_status(self._client, postgres=postgres)
        return 0

    async def stop(self) -> None:
        """Do nothing: what was told runs out by itself."""

    async def _postgres(self) -> PostgresState:
        try:
            async with asyncio.timeout(_POSTGRES_S):
                await self._pool.fetchval("SELECT 1")
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return "down"
        return "up"
