"""Lets the buyers loose on the shop, all in this process, and waits until it is over."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import aiohttp

from engine.embedded.demo.buyer import Buyer
from engine.embedded.demo.figures import Stopwatch
from engine.embedded.demo.hall import Hall
from engine.embedded.demo.personas import Persona
from engine.embedded.demo.shop import RefusedError, Shop, UnavailableError
from engine.embedded.demo.tally import Tally
from engine.embedded.demo.till import Till
from engine.settings import Settings

CONNECTIONS = 64
_KNOWN_S = 15.0  # within which every API process knows of the occurrence
_LOOKS = 8  # in a row, on connections of their own, that must find it: the kernel picks the process
_TICK_S = 0.25
_LEAVE_S = 70.0  # for those who have paid when the time is up
_DOUBLED = {"duplicates": 1}  # every message of the provider comes twice

Tick = Callable[["Sale"], None]


class Sale:
    """A running sale, to look at."""

    def __init__(self, hall: Hall, tally: Tally, till: Till, shop: Shop) -> None:
        self.hall = hall
        self.tally = tally
        self.till = till
        self.shop = shop
        self.began = time.perf_counter()
        self.errors: list[str] = []

    @property
    def seconds(self) -> float:
        """Since the opening."""
        return time.perf_counter() - self.began

    async def run(self, personas: Sequence[Persona], seconds_max: float, tick: Tick) -> None:
        """Play until everything is sold, or the time is up. ``tick`` is called now and then."""
        before = await self.till.behave(_DOUBLED)
        watch = asyncio.create_task(self.hall.watch())
        self.began = time.perf_counter()
        buyers = [
            asyncio.create_task(Buyer(item, self.shop, self.till, self.hall, self.tally).run())
            for item in personas
        ]
        try:
            await self._wait(buyers, seconds_max, tick)
            self.tally.over.set()
            await self._wait(buyers, self.seconds + _LEAVE_S, tick)
        finally:
            for task in (watch, *buyers):
                task.cancel()
            outcomes = await asyncio.gather(*buyers, return_exceptions=True)
            await asyncio.gather(watch, return_exceptions=True)
            with contextlib.suppress(aiohttp.ClientError, OSError):
                await self.till.behave(before)
        self.errors = [
            f"{persona.name}: {type(outcome).__name__}: {outcome}"
            for persona, outcome in zip(personas, outcomes, strict=True)
            if outcome is not None
        ]

    async def _wait(self, buyers: Sequence[asyncio.Task[None]], until_s: float, tick: Tick) -> None:
        """Wait until all is sold and everybody has gone, everybody has gone, or the time is up."""
        left = set(buyers)
        while left and self.seconds < until_s:
            _, left = await asyncio.wait(left, timeout=_TICK_S)
            tick(self)


@asynccontextmanager
async def sale_of(settings: Settings, occurrence: str) -> AsyncIterator[Sale]:
    """Give the sale of an occurrence that nobody has bought of yet."""
    stopwatch = Stopwatch()
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS + 1)) as session,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as provider,
    ):
        till = Till(provider, settings.stripe_api_base, stopwatch)
        await till.check()
        shop = Shop(
            session, settings.public_url, occurrence, stopwatch, connections_max=CONNECTIONS
        )
        await _known(settings.public_url, occurrence)
        hall = Hall(shop, session)
        await hall.load()
        yield Sale(hall, Tally(sum(hall.capacity.values()), stopwatch), till, shop)


async def _known(url: str, occurrence: str) -> None:
    """Wait until the API's processes have seen the publication."""
    async with asyncio.timeout(_KNOWN_S):
        found = 0
        while found < _LOOKS:
            async with aiohttp.ClientSession() as session:
                try:
                    await Shop(session, url, occurrence, Stopwatch()).occurrence()
                    found += 1
                except (RefusedError, UnavailableError):
                    found = 0
                    await asyncio.sleep(_TICK_S)
