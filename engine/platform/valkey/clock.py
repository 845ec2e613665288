"""Keeps this process's clock with the store's: tokens, tickets and proofs go by it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web
from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine.core.clock import FollowedClock
from engine.core.tasks import end
from engine.platform.http.state import CLOCK, REDIS

_EVERY_S: Final = 10.0  # quartz strays by some 0.5 ms in it
_WRONG_S: Final = 2.0  # worth a line of log

log = logging.getLogger(__name__)


async def with_clock(app: web.Application) -> AsyncIterator[None]:
    """Follow the store's clock while the application runs; after Redis."""
    await _follow(app[REDIS], app[CLOCK])
    task = asyncio.create_task(_keep(app[REDIS], app[CLOCK]), name="clock")
    yield
    await end(task)


async def _keep(client: Redis, clock: FollowedClock) -> None:
    while True:
        await asyncio.sleep(_EVERY_S)
        await _follow(client, clock)


async def _follow(client: Redis, clock: FollowedClock) -> None:
    asked_at = time.monotonic()
    try:
        seconds, micros = await client.time()
    except (RedisError, OSError):
        return  # away: the clock goes on as it did
    wrong_s = clock.follow(seconds + micros / 1e6, asked_at, time.monotonic())
    if abs(wrong_s) > _WRONG_S:
        log.warning("this machine's clock is wrong by %.0f s: the store's is used", wrong_s)
