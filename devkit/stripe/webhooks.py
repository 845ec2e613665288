"""Signed delivery of events to one endpoint: with retries, and out of order on demand.

At most 100,000 deliveries wait (1.7 KiB each); beyond that the oldest is given
up and counted. A failed delivery is tried again after 1, 2, 4, ... seconds, 60
at most, 16 times in all.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated

import aiohttp
import msgspec
from msgspec import Meta

from devkit.stripe import render
from devkit.stripe.objects import Event
from devkit.stripe.signing import sign

_CONCURRENCY = 32
_WAITING_MAX = 100_000
_LOG_MAX = 1_000
_ATTEMPTS_MAX = 16
_RETRY_LONGEST_S = 60.0
_TIMEOUT_S = 10.0


class Behaviour(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How events are delivered. ``duplicates``: further deliveries of each event."""

    paused: bool = False
    shuffle: bool = False
    duplicates: Annotated[int, Meta(ge=0, le=10)] = 0
    delay_s: Annotated[float, Meta(ge=0, le=3_600)] = 0.0


class Attempt(msgspec.Struct, kw_only=True):
    """One try to deliver. ``status`` 0: no answer, see ``error``."""

    event: str
    kind: str
    attempt: int
    status: int
    error: str = ""


class Counts(msgspec.Struct, kw_only=True):
    """Since the start. ``given_up``: not delivered after all tries, or for want of room."""

    delivered: int = 0
    failed_attempts: int = 0
    given_up: int = 0


@dataclass(order=True, slots=True)
class _Delivery:
    due: float
    rank: float
    event: Event = field(compare=False)
    attempt: int = field(compare=False, default=1)


class Webhooks:
    """Delivers to ``url`` (None: nowhere) the events whose kind is in ``kinds`` (None: all).

    ``delivered`` is called when an event has been accepted (a 2xx answer).
    """

    def __init__(
        self,
        *,
        url: str | None,
        secret: str,
        kinds: frozenset[str] | None,
        retry_first_s: float,
        delivered: Callable[[Event], None],
    ) -> None:
        self.url = url
        self.behaviour = Behaviour()
        self.counts = Counts()
        self.log: deque[Attempt] = deque(maxlen=_LOG_MAX)
        self._secret = secret
        self._kinds = kinds
        self._retry_first_s = retry_first_s
        self._delivered = delivered
        self._waiting: list[_Delivery] = []
        self._sequence = 0
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._pump_task: asyncio.Task[None] | None = None
        self._session: aiohttp.ClientSession | None = None

    @property
    def waiting(self) -> int:
        """Deliveries that wait or are under way."""
        return len(self._waiting) + len(self._tasks)

    def wants(self, kind: str) -> bool:
        """Tell whether the endpoint hears of this kind."""
        return self.url is not None and (self._kinds is None or kind in self._kinds)

    async def start(self) -> None:
        """Begin to deliver."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_CONCURRENCY),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S),
            headers={
                "Content-Type": "application/json; charset=utf-8",
                "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            },
        )
        self._pump_task = asyncio.create_task(self._pump())

    async def stop(self) -> None:
        """Stop; what is under way is broken off."""
        tasks = [*self._tasks, *([self._pump_task] if self._pump_task else [])]
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
        if self._session is not None:
            await self._session.close()

    def submit(self, event: Event) -> None:
        """Deliver an event as the behaviour says."""
        for _ in range(1 + self.behaviour.duplicates):
            self._push(event, self.behaviour.delay_s, attempt=1)

    def configure(self, behaviour: Behaviour) -> None:
        """Behave differently from now on; ``shuffle`` also mixes what is waiting."""
        self.behaviour = behaviour
        if behaviour.shuffle:
            for delivery in self._waiting:
                delivery.due, delivery.rank = 0.0, random.random()  # noqa: S311 - order of a test
            heapq.heapify(self._waiting)
        self._wake.set()

    async def settled(self) -> None:
        """Wait until nothing is waiting or under way."""
        await self._idle.wait()

    def _push(self, event: Event, delay_s: float, attempt: int) -> None:
        self._sequence += 1
        due, rank = asyncio.get_running_loop().time() + delay_s, float(self._sequence)
        if self.behaviour.shuffle and delay_s == 0:
            due, rank = 0.0, random.random()  # noqa: S311 - order of a test
        heapq.heappush(self._waiting, _Delivery(due, rank, event, attempt))
        if len(self._waiting) > _WAITING_MAX:
            heapq.heappop(self._waiting)
            self.counts.given_up += 1
        self._idle.clear()
        self._wake.set()

    async def _pump(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            wait_s: float | None = None
            while self._waiting and not self.behaviour.paused and len(self._tasks) < _CONCURRENCY:
                wait_s = self._waiting[0].due - loop.time()
                if wait_s > 0:
                    break
                self._begin(heapq.heappop(self._waiting))
                wait_s = None
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), wait_s)

    def _begin(self, delivery: _Delivery) -> None:
        task = asyncio.create_task(self._deliver(delivery))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._wake.set()
        if self.waiting == 0:
            self._idle.set()

    async def _deliver(self, delivery: _Delivery) -> None:
        event = delivery.event
        status, error = 0, ""
        body = msgspec.json.encode(render.event(event))
        if self.url is None or self._session is None:
            return
        try:
            async with self._session.post(
                self.url,
                data=body,
                headers={"Stripe-Signature": sign(body, self._secret)},
                allow_redirects=False,
            ) as response:
                status = response.status
        except (aiohttp.ClientError, OSError, TimeoutError) as problem:
            error = type(problem).__name__
        self.log.append(
            Attempt(
                event=event.id,
                kind=event.kind,
                attempt=delivery.attempt,
                status=status,
                error=error,
            )
        )
        if 200 <= status < 300:  # noqa: PLR2004 - the class of success in HTTP
            self.counts.delivered += 1
            self._delivered(event)
            return
        self.counts.failed_attempts += 1
        if delivery.attempt >= _ATTEMPTS_MAX:
            self.counts.given_up += 1
            return
        delay_s = min(self._retry_first_s * 2 ** (delivery.attempt - 1), _RETRY_LONGEST_S)
        self._push(event, delay_s, delivery.attempt + 1)
