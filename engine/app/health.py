"""Whether this process lives, and whether it can sell."""

from __future__ import annotations

import asyncio
import time

from aiohttp import web
from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine.app.schemas import Alive, Ready
from engine.platform.http.pipeline import answer
from engine.platform.http.route import Call
from engine.platform.http.state import REDIS
from engine.platform.telemetry.heartbeat import read_worker_status
from engine.platform.valkey.writable import refuses_writes

_TIMEOUT_S = 1.0  # a store that takes longer to answer cannot sell either
_KEPT_S = 1.0  # who asks more often is told the same: anybody may ask
_RETRY_AFTER_S = 2


class Readiness:
    """Tries a write, once a second at most for all who ask: the store may answer and take none."""

    def __init__(self) -> None:
        self._refused: str | None = None
        self._tried_at = float("-inf")
        self._trying: asyncio.Task[None] | None = None

    async def refused(self, client: Redis) -> str | None:
        """Return why writes are refused, now or within the last second; None: they are taken.

        Raises ``RedisError`` and ``OSError``.
        """
        if time.monotonic() - self._tried_at >= _KEPT_S:
            if self._trying is None:
                self._trying = asyncio.create_task(self._try(client), name="readiness")
            await asyncio.shield(self._trying)
        return self._refused

    async def _try(self, client: Redis) -> None:
        try:
            self._refused = await refuses_writes(client)
            self._tried_at = time.monotonic()
        finally:
            self._trying = None


async def _look(readiness: Readiness, client: Redis) -> Ready:
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            worker = await read_worker_status(client)
            refused = await readiness.refused(client)
    except (RedisError, OSError, TimeoutError):
        return Ready(
            status="not_ready",
            redis="down",
            worker="unknown",
            postgres="unknown",
            reason="the store does not answer",
        )
    return Ready(
        status="ready" if refused is None else "not_ready",
        redis="up" if refused is None else "refusing",
        worker="up" if worker.alive else "down",
        postgres=worker.postgres,
        reason=None if refused is None else f"the store refuses writes: {refused}",
    )


READINESS = web.AppKey("readiness", Readiness)


async def read_live(call: Call) -> web.Response:
    """Answer: the process does."""
    del call
    return answer(Alive())


async def read_ready(call: Call) -> web.Response:
    """Answer whether the store can be reached and written to, and what the worker last said."""
    app = call.request.app
    ready = await _look(app[READINESS], app[REDIS])
    if ready.status == "ready":
        return answer(ready)
    return answer(ready, status=503, headers={"Retry-After": str(_RETRY_AFTER_S)})
