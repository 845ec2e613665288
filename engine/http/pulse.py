"""Tells once a second how this process is, to whoever lets people in.

What it tells is taken from the metrics that are counted anyway.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Sequence
from itertools import accumulate
from operator import sub
from typing import Final, NamedTuple

from aiohttp import web
from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine.core.ids import new_id
from engine.core.tasks import end
from engine.http.metrics import LATENCY_BOUNDS_S, Metrics
from engine.http.state import METRICS, REDIS
from engine.store.edge_pulse import Pulse, report_pulse

HOLD_ROUTE: Final = "create_hold"
CHECKOUT_ROUTE: Final = "check_out"
PAYMENT_ROUTES: Final = (CHECKOUT_ROUTE, "settle_order")  # they wait for the provider
TICKS: Final = 10  # a second: how often the loop's lag is measured
SECONDS: Final = 3  # of latencies and lag: one hiccup is no trend
PAYMENT_SECONDS: Final = 10  # payments are seldom, and their failures take long
_ANSWERS_MIN: Final = 5  # fewer say nothing about 95 %
_QUANTILE: Final = 0.95
_UNAVAILABLE: Final = 503
_US: Final = 1_000_000

log = logging.getLogger(__name__)


class _Counts(NamedTuple):
    """What has been counted up to a moment."""

    holds: list[int]
    checkouts: list[int]
    payments: int
    failures: int


class Heart:
    """Turns counters that only grow into what happened lately; :meth:`take` once a second."""

    def __init__(self, metrics: Metrics) -> None:
        self.process = new_id()
        self._metrics = metrics
        self._counts: deque[_Counts] = deque([self._count()], maxlen=PAYMENT_SECONDS + 1)
        self._lags: deque[float] = deque(maxlen=TICKS * SECONDS)

    def late(self, seconds: float) -> None:
        """Note by how much a timer was late."""
        self._lags.append(max(seconds, 0.0))

    def take(self) -> Pulse:
        """Return how it has been in the last seconds."""
        now = self._count()
        recent = self._counts[-min(len(self._counts), SECONDS)]
        oldest = self._counts[0] if len(self._counts) <= PAYMENT_SECONDS else self._counts[1]
        self._counts.append(now)
        lag_s = sum(self._lags) / len(self._lags) if self._lags else 0.0
        return Pulse(
            process=self.process,
            hold_us=_slow_us(now.holds, recent.holds),
            checkout_us=_slow_us(now.checkouts, recent.checkouts),
            lag_us=int(lag_s * _US),
            payments=now.payments - oldest.payments,
            failures=now.failures - oldest.failures,
        )

    def _count(self) -> _Counts:
        counted = self._metrics.counted
        statuses = [counted(route)[0] for route in PAYMENT_ROUTES]
        return _Counts(
            holds=counted(HOLD_ROUTE)[1],
            checkouts=counted(CHECKOUT_ROUTE)[1],
            payments=sum(sum(of_route.values()) for of_route in statuses),
            failures=sum(of_route[_UNAVAILABLE] for of_route in statuses),
        )


def _slow_us(now: Sequence[int], before: Sequence[int]) -> int:
    """Return the time within which 95 % were answered, as straight lines through the buckets."""
    buckets = list(map(sub, now, before))
    total = sum(buckets)
    if total < _ANSWERS_MIN:
        return 0
    wanted = total * _QUANTILE
    place, below = next(
        (place, upto - buckets[place])
        for place, upto in enumerate(accumulate(buckets))
        if upto >= wanted
    )
    lower = LATENCY_BOUNDS_S[place - 1] if place else 0.0
    upper = LATENCY_BOUNDS_S[min(place, len(LATENCY_BOUNDS_S) - 1)]
    return int((lower + (upper - lower) * (wanted - below) / buckets[place]) * _US)


async def pulse(app: web.Application) -> AsyncIterator[None]:
    """Tell as long as the application runs (for its ``cleanup_ctx``)."""
    task = asyncio.create_task(_tell(app[REDIS], Heart(app[METRICS])), name="pulse")
    yield
    await end(task)


async def _tell(client: Redis, measured: Heart) -> None:
    heard = True
    loop = asyncio.get_running_loop()
    while True:
        for _ in range(TICKS):
            due = loop.time() + 1 / TICKS
            await asyncio.sleep(1 / TICKS)
            measured.late(loop.time() - due)
        try:
            await report_pulse(client, measured.take())
        except (RedisError, OSError) as error:
            if heard:
                log.warning("the pulse of this process is not heard: %s", error)
            heard = False
        else:
            heard = True
