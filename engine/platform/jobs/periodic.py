"""The interface of a background service, and one that calls a function periodically."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol


class Service(Protocol):
    """Work that is done again and again. ``interval_s``: the pause after a round without work."""

    @property
    def name(self) -> str:
        """How logs and metrics call it."""

    @property
    def interval_s(self) -> float:
        """Seconds between two rounds when there is nothing to do."""

    async def run_once(self) -> int:
        """Do what there is to do, a bounded amount, and return how much that was.

        Raises anything when it fails: it is called again after a pause, unless
        it is :class:`engine.platform.jobs.errors.MustStopError`.
        """

    async def stop(self) -> None:
        """Finish; ``run_once`` is not called again."""


class Periodic:
    """A service of one function."""

    def __init__(
        self, name: str, interval_s: float, run_once: Callable[[], Awaitable[int]]
    ) -> None:
        self.name = name
        self.interval_s = interval_s
        self._run_once = run_once

    async def run_once(self) -> int:
        """Call the function."""
        return await self._run_once()

    async def stop(self) -> None:
        """Do nothing: no round is left to finish."""
