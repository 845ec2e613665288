"""Lets the buyers loose on the shop, all in this process, and waits until it is over."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import aiohttp

from devkit.demo.buyer import Buyer
from devkit.demo.figures import Stopwatch
from devkit.demo.hall import Hall
from devkit.demo.line_tally import LineTally
from devkit.demo.lobby import Lobby
from devkit.demo.personas import Persona
from devkit.demo.shop import RefusedError, Shop, UnavailableError
from devkit.demo.tally import Tally
from devkit.demo.till import Till
from devkit.demo.venue import Venue
from engine.core.settings import Settings

CONNECTIONS = 64
_KNOWN_S = 15.0  # within which every API process knows of the occurrence
_LOOKS = 8  # in a row, on connections of their own, that must find it: the kernel picks the process
_TICK_S = 0.25
_LEAVE_S = 70.0  # for those who have paid when the time is up
_DOUBLED = {"duplicates": 1}  # every message of the provider comes twice

Tick = Callable[["Sale"], None]


class Sale:
    """A running sale, to look at."""

    def __init__(self, venue: Venue) -> None:
        self.venue = venue
        self.errors: list[str] = []

    @property
    def seconds(self) -> float:
        """Since the opening; negative before it."""
        return -self.venue.lobby.opens_in_s

    async def run(self, personas: Sequence[Persona], seconds_max: float, tick: Tick) -> None:
        """Play until everything is sold, or the time is up. ``tick`` is called now and then."""
        venue, over = self.venue, self.venue.tally.over
        before = await venue.till.behave(_DOUBLED)
        watches = [
            asyncio.create_task(work)
            for work in (venue.hall.watch(), venue.lobby.watch(), venue.line.hang_up(over))
        ]
        buyers = [asyncio.create_task(Buyer(item, venue).run()) for item in personas]
        try:
            await self._wait(buyers, seconds_max, tick)
            over.set()
            await self._wait(buyers, self.seconds + _LEAVE_S, tick)
        finally:
            for task in (*watches, *buyers):
                task.cancel()
            outcomes = await asyncio.gather(*buyers, return_exceptions=True)
            await asyncio.gather(*watches, return_exceptions=True)
            with contextlib.suppress(aiohttp.ClientError, OSError):
                await venue.till.behave(before)
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
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as sockets,
    ):
        till = Till(provider, settings.stripe_api_base, stopwatch)
        await till.check()
        shop = Shop(
            session, settings.public_url, occurrence, stopwatch, connections_max=CONNECTIONS
        )
        await known(settings.public_url, occurrence)
        hall = Hall(shop, session)
        lobby = Lobby(shop, occurrence, settings.token_secret)
        await asyncio.gather(hall.load(), lobby.load())
        yield Sale(
            Venue(
                shop=shop,
                till=till,
                hall=hall,
                lobby=lobby,
                sockets=sockets,
                tally=Tally(sum(hall.capacity.values()), stopwatch),
                line=LineTally({"ticket_type": next(iter(hall.kinds)), "quantity": 1}),
            )
        )


async def known(url: str, occurrence: str) -> None:
    """Wait until the API's processes at ``url`` have seen the publication."""
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
