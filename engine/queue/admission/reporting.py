"""Health reports of a serving process to the admission leader, once a second."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Final

from aiohttp import web
from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine.core.ids import new_id
from engine.core.tasks import end
from engine.platform.http.state import REDIS
from engine.queue.admission.edge_reports import Pulse, report_pulse
from engine.queue.admission.samples import SAMPLES, SECONDS, InsideSamples

TICKS: Final = 10  # a second: how often the loop's lag is measured
BUYERS_MIN: Final = 5  # fewer say nothing of how the others are served
_US: Final = 1_000_000

log = logging.getLogger(__name__)


class Heart:
    """Tells of the last seconds of a process; :meth:`take` once a second."""

    def __init__(self, samples: InsideSamples) -> None:
        self.process = new_id()
        self._samples = samples
        self._lags: deque[float] = deque(maxlen=TICKS * SECONDS)

    def late(self, seconds: float) -> None:
        """Note by how much a timer was late."""
        self._lags.append(max(seconds, 0.0))

    def take(self) -> Pulse:
        """Return how it has been in the last seconds."""
        holds, checkouts = self._samples.holds.turn(), self._samples.checkouts.turn()
        payments = self._samples.payments.turn()
        return Pulse(
            process=self.process,
            hold_us=_middle_us(holds) if len(holds) >= BUYERS_MIN else 0,
            checkout_us=_middle_us(checkouts) if len(checkouts) >= BUYERS_MIN else 0,
            lag_us=_middle_us(self._lags),
            payments=len(payments),
            failures=payments.count(False),
        )


def _middle_us(seconds: Sequence[float]) -> int:
    """Return the middle one, the lower of two: what more than half exceed or nearly so."""
    return int(sorted(seconds)[(len(seconds) - 1) // 2] * _US) if seconds else 0


async def pulse(app: web.Application) -> AsyncIterator[None]:
    """Tell as long as the application runs (for its ``cleanup_ctx``)."""
    task = asyncio.create_task(_tell(app[REDIS], Heart(app[SAMPLES])), name="pulse")
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
