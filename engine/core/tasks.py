"""Ending background tasks for certain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, TypeVar

T = TypeVar("T")

_AGAIN_S = 0.1


async def end(task: asyncio.Task[Any] | None) -> None:
    """Cancel a task and wait until it has ended; None is no task.

    Cancelled again and again: ``asyncio.wait_for`` of Python 3.11, which the
    Redis client uses, can swallow a cancellation that comes as its future is done.
    """
    if task is None:
        return
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_AGAIN_S)
    if not task.cancelled():
        task.result()


class Shared:
    """Work that whoever asks for the same at the same time shares: it is done once for all.

    Who asks may be cancelled; the work goes on. Bounded by how many ask at a time.
    """

    def __init__(self) -> None:
        self._running: dict[Hashable, asyncio.Task[Any]] = {}

    async def do(self, key: Hashable, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return what the work of this name returns, or raise what it raises."""
        task: asyncio.Task[T] | None = self._running.get(key)
        if task is None:
            task = asyncio.create_task(make())
            self._running[key] = task
            task.add_done_callback(lambda done: self._ended(key, done))
        return await asyncio.shield(task)

    def _ended(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        del self._running[key]
        if not task.cancelled():
            task.exception()  # if nobody waits any more, nobody is to be told

    async def stop(self) -> None:
        """Cancel what is running."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
