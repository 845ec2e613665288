"""Ends what has run out of time: holds at once, pending orders by way of the provider."""

from __future__ import annotations

import asyncio

from engine.platform.jobs.failing import FailingOccurrences
from engine.platform.valkey.codes import Code
from engine.platform.valkey.errors import StoreUnavailableError
from engine.sale.commands import Commands
from engine.sale.errors import OccurrenceUnknownError
from engine.sale.inventory.occurrences import Occurrences, Published
from engine.sale.orders.closing import Closing
from engine.sale.orders.settlement import AGAIN_MS, Settlement

SWEEP_MAX = 200  # deadlines a script call
_SWEEPS_MAX = 50  # calls for one occurrence in one round
_OF_ONE = (StoreUnavailableError, OccurrenceUnknownError, ValueError, TypeError, LookupError)


class Expiry:
    """A periodic service; any number of workers may run it, the scripts decide who did what."""

    def __init__(
        self, commands: Commands, occurrences: Occurrences, settlement: Settlement
    ) -> None:
        self._commands = commands
        self._occurrences = occurrences
        self._failing = FailingOccurrences("expiry")
        self._closing = Closing(commands, settlement)

    async def stop(self) -> None:
        """Stop closing orders."""
        await self._closing.stop()

    async def run_once(self) -> int:
        """Look at every occurrence once. Returns how many holds and orders were ended.

        One in which that fails does not stop the others. Raises
        ``StoreUnavailableError`` when the store is away.
        """
        ended = 0
        begun: list[asyncio.Task[bool]] = []
        known = await self._occurrences.all()
        self._failing.keep({published.snapshot.occurrence for published in known})
        for published in known:
            occurrence = published.snapshot.occurrence
            try:
                ended += await self._sweep(published, begun)
            except _OF_ONE as error:
                if isinstance(error, StoreUnavailableError) and not error.answered:
                    raise
                self._failing.failed(occurrence, error)
            else:
                self._failing.went_well(occurrence)
        return ended + await self._closing.wait(begun)

    async def _sweep(self, published: Published, begun: list[asyncio.Task[bool]]) -> int:
        ended = 0
        for _ in range(_SWEEPS_MAX):
            answer = await self._commands.sweep(published.place, SWEEP_MAX, AGAIN_MS)
            if answer[0] != Code.OK:
                break
            holds, orders = answer[1], answer[2]
            for order in orders:
                task = self._closing.begin(published, order.decode())
                if task is not None:
                    begun.append(task)
            ended += holds
            if holds + len(orders) < SWEEP_MAX:
                break
        return ended
