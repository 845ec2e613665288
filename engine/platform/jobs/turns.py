"""Turns of many, a few at once, in which nobody waits for one who is slow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

Work = Callable[[], Awaitable[object]]  # fails in no way: that is for whoever gives the turn


class Turns:
    """One turn at a time for each name.

    A turn that is not over after ``patience_s`` is left to itself, and the others go on.
    From then on its owner goes by itself, ``slow_at_once`` of them at a time, until a turn
    is quick again.
    """

    def __init__(self, *, at_once: int, slow_at_once: int, patience_s: float) -> None:
        self._gate = asyncio.Semaphore(at_once)
        self._slow_gate = asyncio.Semaphore(slow_at_once)
        self._patience_s = patience_s
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._slow: set[str] = set()

    async def take(self, name: str, work: Work) -> None:
        """Give a turn, unless the last one is not over; returns when it is, or does not matter."""
        if name in self._under_way:
            return
        if name in self._slow:
            self._start(name, work, self._slow_gate)
            return
        async with self._gate:
            task = self._start(name, work, None)
            await asyncio.wait({task}, timeout=self._patience_s)

    def forget(self, name: str) -> None:
        """Know nothing of one who has no more turns."""
        self._slow.discard(name)

    async def stop(self, within_s: float) -> None:
        """Let turns end; what takes longer is given up."""
        tasks = list(self._under_way.values())
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=within_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, name: str, work: Work, gate: asyncio.Semaphore | None) -> asyncio.Task[None]:
        task = asyncio.create_task(self._run(name, work, gate))
        self._under_way[name] = task
        return task

    async def _run(self, name: str, work: Work, gate: asyncio.Semaphore | None) -> None:
        try:
            if gate is None:
                await self._timed(name, work)
            else:
                async with gate:
                    await self._timed(name, work)
        finally:
            del self._under_way[name]

    async def _timed(self, name: str, work: Work) -> None:
        late = asyncio.get_running_loop().call_later(self._patience_s, self._slow.add, name)
        began_s = time.monotonic()
        try:
            await work()
        finally:
            late.cancel()
        if time.monotonic() - began_s < self._patience_s:
            self._slow.discard(name)
