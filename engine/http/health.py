"""Whether this process lives, and whether it can sell."""

from __future__ import annotations

import asyncio

from aiohttp import web
from redis.exceptions import RedisError

from engine.http.endpoints import answer
from engine.http.metrics import Metrics
from engine.http.route import Call
from engine.http.schemas import Alive, Ready
from engine.http.state import METRICS, REDIS
from engine.store.worker_status import read_worker_status

_TIMEOUT_S = 1.0  # a store that takes longer to answer a read cannot sell either
_RETRY_AFTER_S = 2


async def read_live(call: Call) -> web.Response:
    """Answer: the process does."""
    del call
    return answer(Alive())


async def read_ready(call: Call) -> web.Response:
    """Answer whether the store can be reached, and what the worker last said."""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            worker = await read_worker_status(call.request.app[REDIS])
    except (RedisError, OSError, TimeoutError):
        return answer(
            Ready(status="not_ready", redis="down", worker="unknown", postgres="unknown"),
            status=503,
            headers={"Retry-After": str(_RETRY_AFTER_S)},
        )
    return answer(
        Ready(
            status="ready",
            redis="up",
            worker="up" if worker.alive else "down",
            postgres=worker.postgres,
        )
    )


async def read_metrics(call: Call) -> web.Response:
    """Answer with all metrics, of all processes of this installation on this machine."""
    metrics: Metrics = call.request.app[METRICS]
    return web.Response(
        body=metrics.exposition(),
        headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
    )
