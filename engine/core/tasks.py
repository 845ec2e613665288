"""Ending background tasks for certain."""

from __future__ import annotations

import asyncio
from typing import Any

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
