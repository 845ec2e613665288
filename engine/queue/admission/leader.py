"""The admission leader: one worker, elected by a lease, calls the next numbers of every queue.

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
from functools import partial
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine.core.errors import OnsaleError
from engine.core.ids import new_id
from engine.platform.jobs.turns import Turns
from engine.platform.valkey import keys, lease
from engine.queue import store as waiting
from engine.queue.admission import metrics
from engine.queue.admission.controller import STEP_S, Edge
from engine.queue.admission.edge import edge_of
from engine.queue.admission.edge_reports import read_pulses
from engine.queue.admission.line import FencedError, Line, moves
from engine.sale.errors import OccurrenceUnknownError
from engine.sale.service import Sale

LEASE_MS: Final = 3_000  # a leader that was killed is replaced after so long
_LOOK_S: Final = 1.0  # how often the edge and the list of rooms are looked at
_AT_ONCE: Final = 8  # lines that are stepped at the same time
_SLOW_AT_ONCE: Final = 4  # of those that take longer than a step may; each uses a connection
_GLANCES_MAX: Final = 512  # lines at rest that are looked at in a round: 1,024 small documents
_CALM_MAX: Final = 8  # of them, those that call nobody and are stepped in a round all the same
_PATIENCE_S: Final = 0.5  # with one line, or one look; a step takes some 3 ms
_STOP_S: Final = 5.0  # in which steps that are under way end

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
        self._glanced = 0  # of the lines at rest, those before it were looked at
        self._edge: Edge | None = None
        self._looked_s = -math.inf
        self._turns = Turns(at_once=_AT_ONCE, slow_at_once=_SLOW_AT_ONCE, patience_s=_PATIENCE_S)
        self._looks = Turns(at_once=1, slow_at_once=1, patience_s=_PATIENCE_S)
        self._blind = False  # the last look has failed

    async def run_once(self) -> int:
        """Renew the lease and step every line that has something to do.

        Returns 0: there is no more to do until later. A line whose step takes long is not
        waited for, one at rest costs a glance now and then.
        Raises ``RedisError`` when the store is away, ``OnsaleError``.
        """
        held = await lease.take(
            self._client, lease.ADMISSION, self.owner, LEASE_MS, above=self._above
        )
        if isinstance(held, lease.Taken):
            self._follow()
            return 0
        self._lead(held.fence)
        if time.monotonic() - self._looked_s >= _LOOK_S:
            await self._looks.take("", self._look)
        lines = [line for line in self._lines.values() if not line.resting]
        lines += await self._stirring()
        await asyncio.gather(
            *(self._turns.take(line.occurrence, partial(self._step, line)) for line in lines)
        )
        return 0

    async def _stirring(self) -> list[Line]:
        """Return the lines at rest that are to be stepped.

        All that have somebody to call, and a few of the others to which something was done
        or that are new: those who wait are not to wait for what concerns nobody.
        """
        resting = [line for line in self._lines.values() if line.resting]
        start = self._glanced if self._glanced < len(resting) else 0
        some = resting[start : start + _GLANCES_MAX]
        self._glanced = start + len(some)
        if not some:
            return []
        found, wall_ms = await waiting.glance(self._client, [line.place for line in some])
        moving: list[Line] = []
        calm: list[Line] = []
        for line, packed in zip(some, found, strict=True):
            if line.stirs(packed, wall_ms):
                (moving if moves(packed, wall_ms) else calm).append(line)
        return moving + calm[:_CALM_MAX]

    async def stop(self) -> None:
        """Let another lead at once."""
        led = self._leads
        self._follow()
        await self._looks.stop(_STOP_S)
        await self._turns.stop(_STOP_S)
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
        """See how the edge is, and which rooms are on; where that fails, all goes on as it was."""
        try:
            await self._see()
        except (OnsaleError, RedisError, OSError) as error:
            if not self._blind:
                log.warning("the rooms cannot be looked at: %s", error)
            self._blind = True
        else:
            self._blind = False
        self._looked_s = time.monotonic()

    async def _see(self) -> None:
        self._edge = edge_of(await read_pulses(self._client))
        known = self._sale.known
        # nothing is loaded for that: a line loads what it needs when it is first stepped
        places = {name: keys.prefix(shard, name) for name, shard in known.shards().items()}
        on = await waiting.read_rooms_on(self._client, list(places.values()))
        if not self._leads:
            return  # not any more
        names = {name for name, is_on in zip(places, on, strict=True) if is_on}
        for gone in self._lines.keys() - names:
            self._lines.pop(gone).end()
            self._turns.forget(gone)
        for new in names - self._lines.keys():
            self._lines[new] = Line(self._sale, self._client, new, places[new])
        for name, line in self._lines.items():
            published = known.loaded(name)
            if published is not None:
                line.wake_for(published.version)

    async def _step(self, line: Line) -> None:
        """Step a line; what fails in one must not keep the others waiting."""
        try:
            await line.step(self.fence, self._edge)
        except FencedError as error:
            self._above = max(self._above, error.fence)
        except Exception as error:  # whatever it is, the other lines must go on
            if type(error) is OccurrenceUnknownError:
                return  # taken off sale this moment; the next look drops it
            if line.failed():
                expected = isinstance(error, (OnsaleError, RedisError, OSError))
                log.warning(
                    "the line of %s does not move: %s",
                    line.occurrence,
                    error,
                    exc_info=None if expected else error,
                )
