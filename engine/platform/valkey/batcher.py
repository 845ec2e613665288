"""Micro-batching: the requests that arrive while flushes are in flight make the next one.

A flush is a single pipeline with one EVALSHA for each (command, occurrence), its
requests packed with msgpack; nothing ever sleeps to fill a batch. So a lone
request goes out at once, and under load the server's fixed cost of a call, and
of an fsync, is shared. Several flushes may be in flight, each on a connection of
its own that one task owns: while the server works on one batch this process
reads, answers and collects the others. A flush is bounded, too: when it took
everybody there is, nothing would be left to do meanwhile (docs/adr/0005).

Each caller has a future of its own. A caller that is cancelled only drops its
future: the command runs, and its reply is read and thrown away, so no reply
can reach the wrong caller. On any error of the connection it is dropped with
everything that was in flight; whether those commands ran is unknown to the
callers, who repeat them with the same ids and get the same answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Any

from redis.exceptions import RedisError

from engine.core.tasks import end
from engine.platform.valkey.errors import OverloadedError, StoreUnavailableError
from engine.platform.valkey.lane import Group, Lane, Receiver, Request

log = logging.getLogger(__name__)

_RETRY_S = 0.05  # pause after a failed connection, so that a dead server is not hammered


class Batcher:
    """Runs commands on one Redis server. Make one a process; ``start`` before use, ``stop`` after.

    ``size_max``: requests a script call; a flush takes no further call when it has so many.
    ``queue_max``: requests that may wait. ``lanes``: flushes in flight.
    """

    def __init__(
        self, url: str, *, size_max: int = 64, queue_max: int = 4096, lanes: int = 2
    ) -> None:
        self._size_max = size_max
        self._queue_max = queue_max
        self._groups: deque[Group] = deque()  # that wait, the oldest first
        self._open: dict[tuple[str, str], Group] = {}  # those of them that are not full
        self._count = 0
        self._wake = asyncio.Event()
        self._lanes = [Lane(url) for _ in range(lanes)]
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start the tasks that own the connections."""
        self._tasks = [
            asyncio.create_task(self._run(lane), name=f"store-batcher-{number}")
            for number, lane in enumerate(self._lanes)
        ]

    async def stop(self) -> None:
        """Stop; callers that still wait get :class:`StoreUnavailableError`."""
        for task in self._tasks:
            await end(task)
        self._tasks = []
        for group in self._groups:
            group.fail(StoreUnavailableError(retry_after_s=1))
        self._groups.clear()
        self._open.clear()
        self._count = 0
        for lane in self._lanes:
            await lane.disconnect()

    @property
    def waiting(self) -> int:
        """How many requests wait for the next flush."""
        return self._count

    @property
    def flushes(self) -> int:
        """How many flushes were sent."""
        return sum(lane.flushes for lane in self._lanes)

    @property
    def requests(self) -> int:
        """How many requests were sent."""
        return sum(lane.requests for lane in self._lanes)

    def submit(self, command: str, prefix: str, request: Request) -> asyncio.Future[list[Any]]:
        """Queue one request; the future's result is the script's answer, ``[code, ...]``.

        The future raises :class:`StoreUnavailableError` when the connection fails.
        Raises :class:`OverloadedError` when the queue is full.
        """
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self.submit_for(future, command, prefix, request)
        return future

    def submit_for(self, receiver: Receiver, command: str, prefix: str, request: Request) -> None:
        """Queue one request whose answer the receiver is given. Raises as :meth:`submit`."""
        if self._count >= self._queue_max:
            raise OverloadedError(
                "The sale has more requests than it can take at this moment; try again in a second",
                retry_after_s=1,
            )
        key = (command, prefix)
        group = self._open.get(key)
        if group is None:
            group = self._open[key] = Group(command, prefix)
            self._groups.append(group)
            self._wake.set()
        group.requests.append(request)
        group.receivers.append(receiver)
        self._count += 1
        if len(group.requests) >= self._size_max:
            del self._open[key]

    def _take(self) -> list[Group]:
        """Take what the next flush sends, oldest first."""
        groups: list[Group] = []
        taken = 0
        while self._groups and taken < self._size_max:
            group = self._groups.popleft()
            key = (group.command, group.prefix)
            if self._open.get(key) is group:
                del self._open[key]
            groups.append(group)
            taken += len(group.requests)
        self._count -= taken
        return groups

    async def _run(self, lane: Lane) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while groups := self._take():
                try:
                    await lane.flush(groups)
                except (RedisError, OSError, TimeoutError) as error:
                    log.warning("the store's connection failed: %s", error)
                    failure = StoreUnavailableError(
                        "The sale cannot be reached; repeat this with the same Idempotency-Key",
                        retry_after_s=1,
                    )
                    for group in groups:
                        group.fail(failure)
                    await lane.disconnect()
                    await asyncio.sleep(_RETRY_S)
                except asyncio.CancelledError:
                    for group in groups:
                        group.fail(StoreUnavailableError(retry_after_s=1))
                    raise
