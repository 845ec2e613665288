"""Ends what has run out of time: holds at once, pending orders by way of the provider."""

from __future__ import annotations

import asyncio
import logging

from engine.core.errors import OccurrenceUnknownError, OnsaleError, StoreUnavailableError
from engine.core.failing import FailingOccurrences
from engine.sale.occurrences import Occurrences, Published
from engine.sale.settlement import AGAIN_MS, Settlement
from engine.store.codes import Code
from engine.store.commands import Commands

log = logging.getLogger(__name__)

SWEEP_MAX = 200  # deadlines a script call
_SWEEPS_MAX = 50  # calls for one occurrence in one round
_OF_ONE = (StoreUnavailableError, OccurrenceUnknownError, ValueError, TypeError, LookupError)
_CLOSING_MAX = 16  # orders that are closed at the provider at the same time


class Expiry:
    """A periodic service; any number of workers may run it, the scripts decide who did what."""

    def __init__(
        self, commands: Commands, occurrences: Occurrences, settlement: Settlement
    ) -> None:
        self._commands = commands
        self._occurrences = occurrences
        self._settlement = settlement
        self._failing = FailingOccurrences("expiry")
        self._closing = asyncio.Semaphore(_CLOSING_MAX)

    async def run_once(self) -> int:
        """Look at every occurrence once. Returns how many holds and orders were ended.

        One in which that fails does not stop the others. Raises
        ``StoreUnavailableError`` when the store is away.
        """
        ended = 0
        known = await self._occurrences.all()
        self._failing.keep({published.snapshot.occurrence for published in known})
        for published in known:
            occurrence = published.snapshot.occurrence
            try:
                ended += await self._sweep(published)
            except _OF_ONE as error:
                if isinstance(error, StoreUnavailableError) and not error.answered:
                    raise
                self._failing.failed(occurrence, error)
            else:
                self._failing.went_well(occurrence)
        return ended

    async def _sweep(self, published: Published) -> int:
        ended = 0
        for _ in range(_SWEEPS_MAX):
            answer = await self._commands.sweep(published.place, SWEEP_MAX, AGAIN_MS)
            if answer[0] != Code.OK:
                break
            holds, orders = answer[1], answer[2]
            closed = await asyncio.gather(
                *(self._close(published, order.decode()) for order in orders)
            )
            ended += holds + sum(closed)
            if holds + len(orders) < SWEEP_MAX:
                break
        return ended

    async def _close(self, published: Published, order_id: str) -> bool:
        async with self._closing:
            try:
                order = await self._settlement.read(published, order_id)
                after = await self._settlement.close(published, order)
            except OnsaleError as error:
                log.warning("order %s cannot be closed now: %s", order_id, error)
                return False
            return after.version != order.version
