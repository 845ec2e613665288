"""Admission: one worker of all lets people out of the waiting rooms, a few at a time.

Whoever has the lease leads. What it sends to the store carries the lease's
fence and the number that was called last, and the store counts the rate by its
own clock: two that both believe to lead call nobody twice and no more than one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine.core.errors import OccurrenceUnknownError, OnsaleError
from engine.core.ids import new_id
from engine.sale.service import Sale
from engine.sale.waiting.admission import STEP_S, Edge
from engine.sale.waiting.edge import edge_of
from engine.store import lease, waiting
from engine.store.edge_pulse import read_pulses
from engine.workers import admission_metrics as metrics
from engine.workers.admission_line import FencedError, Line

LEASE_MS: Final = 3_000  # a leader that was killed is replaced after so long
_LOOK_S: Final = 1.0  # how often the edge and the list of rooms are looked at
_AT_ONCE: Final = 8  # lines that are stepped at the same time

log = logging.getLogger(__name__)


class Admission:
    """A service; any number of workers may run it."""

    name = "admission"
    interval_s = STEP_S

    def __init__(self, sale: Sale, client: Redis) -> None:
        self._sale = sale
        self._client = client
        self.owner = new_id()
        self.fence = 0
        self._above = 0  # a newer fence that a line has told of
        self._leads = False
        self._lines: dict[str, Line] = {}
        self._failing: set[str] = set()
        self._edge: Edge | None = None
        self._looked_s = -math.inf
        self._gate = asyncio.Semaphore(_AT_ONCE)

    async def run_once(self) -> int:
        """Renew the lease and step every line. Returns 0: there is no more to do until later.

        Raises ``RedisError`` when the store is away, ``OnsaleError``.
        """
        held = await lease.take(
            self._client, lease.ADMISSION, self.owner, LEASE_MS, above=self._above
        )
        if isinstance(held, lease.Taken):
            self._follow()
            return 0
        self._lead(held.fence)
        now_s = time.monotonic()
        if now_s - self._looked_s >= _LOOK_S:
            await self._look()
            self._looked_s = now_s
        await asyncio.gather(*(self._step(line) for line in self._lines.values()))
        return 0

    async def stop(self) -> None:
        """Let another lead at once."""
        led = self._leads
        self._follow()
        if led:
            # away: the lease runs out by itself
            with contextlib.suppress(RedisError, OSError):
                await lease.release(self._client, lease.ADMISSION, self.owner)

    def _lead(self, fence: int) -> None:
        if not self._leads:
            log.info("this worker lets people in", extra={"fence": fence})
        self._leads, self.fence = True, fence
        metrics.LEADER.set(1)
        metrics.FENCE.set(fence)

    def _follow(self) -> None:
        if self._leads:
            log.info("this worker lets nobody in any more", extra={"fence": self.fence})
        self._leads = False
        metrics.LEADER.set(0)
        for line in self._lines.values():
            line.end()
        self._lines.clear()
        self._looked_s = -math.inf

    async def _look(self) -> None:
        """See how the edge is, and which rooms are on."""
        self._edge = edge_of(await read_pulses(self._client))
        published = await self._sale.occurrences()
        on = await waiting.read_rooms_on(self._client, [one.place for one in published])
        names = {one.snapshot.occurrence for one, is_on in zip(published, on, strict=True) if is_on}
        for gone in self._lines.keys() - names:
            self._lines.pop(gone).end()
            self._failing.discard(gone)
        for new in names - self._lines.keys():
            self._lines[new] = Line(self._sale, self._client, new)

    async def _step(self, line: Line) -> None:
        """Step a line; what fails in one must not keep the others waiting."""
        async with self._gate:
            try:
                await line.step(self.fence, self._edge)
            except FencedError as error:
                self._above = max(self._above, error.fence)
            except OccurrenceUnknownError:
                pass  # taken off sale this moment; the next look drops it
            except Exception as error:  # whatever it is, the other lines must go on
                if line.occurrence not in self._failing:
                    expected = isinstance(error, (OnsaleError, RedisError, OSError))
                    log.warning(
                        "the line of %s does not move: %s",
                        line.occurrence,
                        error,
                        exc_info=None if expected else error,
                    )
                self._failing.add(line.occurrence)
            else:
                self._failing.discard(line.occurrence)
