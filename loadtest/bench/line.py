"""A line for the benchmarks: filled with buyers, drawn and called straight by the scripts."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from redis.asyncio import Redis

from engine.platform.valkey import keys
from engine.queue import store as waiting
from engine.queue.draw import numbers as draw
from engine.queue.gate.budgets import Budget
from engine.sale.inventory.snapshot import Room, Snapshot
from loadtest.bench import commands
from loadtest.checks import CheckError
from loadtest.stadium import HOUR_MS, stadium_snapshot

Joiner = tuple[str, Sequence[Budget]]  # buyer, what the join counts against

_BATCH = 128  # joins a script call, as the API sends at most
_AT_ONCE = 3  # calls under way: while the server works on one, the next is made
_CALLS_MAX = 200  # of one script call, as in lua/queue_call.lua
_FENCE = 1
_RATE_MOST = 1_000_000  # people a second: the operator's limit that never binds here
_ACTOR = "bench"


def line_snapshot(seats: int, cap: int = 1_000_000) -> Snapshot:
    """Return an occurrence with an open pre-queue, whose line opens only when it is told to."""
    now = time.time_ns() // 1_000_000
    room = Room(
        opens_at=now + 24 * HOUR_MS,
        pre_queue_ms=25 * HOUR_MS,
        rate=_RATE_MOST,
        rate_ms=1_000,
        cap=cap,
        claim_ms=HOUR_MS,
    )
    return stadium_snapshot(seats, room=room)


class BenchLine:
    """The line of an occurrence of :func:`line_snapshot` that is published on ``shard``."""

    def __init__(self, client: Redis, snapshot: Snapshot, shard: int) -> None:
        self._client = client
        self.occurrence = snapshot.occurrence
        self._shard = shard
        self._place = keys.prefix(shard, snapshot.occurrence)

    async def state(self) -> waiting.QueueState:
        """Return how the line stands."""
        return await waiting.read_queue(self._client, self._shard, self.occurrence)

    async def join(
        self, joiners: Iterator[Joiner], count: int, progress: Callable[[int], None]
    ) -> None:
        """Let the next ``count`` join. ``progress`` is told how many have.

        Raises :class:`loadtest.bench.commands.CommandError` when one is refused.
        """
        joined = 0
        requests = (
            (
                buyer,
                draw.leaf(self.occurrence, buyer),
                [(budget.name, budget.soft, budget.hard) for budget in budgets],
                False,
            )
            for buyer, budgets in islice(joiners, count)
        )
        batches = commands.batches(requests, _BATCH)

        async def send() -> None:
            nonlocal joined
            for batch in batches:
                await commands.run(self._client, "queue_join", self._place, batch)
                joined += len(batch)
                progress(joined)

        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(send())

    async def draw(self) -> tuple[int, float]:
        """Open and draw the line; return its places, and the seconds that the digest took."""
        await commands.run(self._client, "queue_command", self._place, [[_ACTOR, "open", {}]])
        n = (await self.state()).queue.drawn
        began = time.perf_counter()
        digest = hashlib.sha256()
        for start in range(0, n, waiting.ROSTER_PAGE_MAX):
            digest.update(
                await waiting.read_roster(
                    self._client, self._shard, self.occurrence, start, waiting.ROSTER_PAGE_MAX
                )
            )
        took = time.perf_counter() - began
        await commands.run(self._client, "queue_draw", self._place, [[digest.hexdigest(), n]])
        return n, took

    async def key(self) -> bytes:
        """Return the key of the draw."""
        found = await waiting.read_draw(self._client, self._shard, self.occurrence)
        return draw.draw_key(bytes.fromhex(found.seed), bytes.fromhex(found.digest))

    async def call(self, count: int) -> int:
        """Call the next ``count`` (200 at most); return what is served now."""
        if count > _CALLS_MAX:
            raise ValueError(f"{count} are more than one call may have")
        key, queue = await self.key(), (await self.state()).queue
        start = queue.served
        indices = [draw.invert(key, queue.drawn, start + ahead) for ahead in range(count)]
        request = [_FENCE, start, indices, count, _RATE_MOST * 1_000]
        (answer,) = await commands.run(self._client, "queue_call", self._place, [request])
        if answer[1] != count:
            raise CheckError(f"{answer[1]} of {count} were called")
        return int(answer[2])

    async def places(self) -> int:
        """Return how many places there are, having compared how they are kept.

        Raises :class:`CheckError` when a buyer has two, or a place has no buyer.
        """
        queue = (await self.state()).queue
        given = queue.count + (queue.slow if queue.drawn < 0 else 0) - queue.gone
        found = await self._client.hlen(f"{self._place}:places")
        if found != given:
            raise CheckError(f"{given} places were given, and {found} buyers have one")
        return given
