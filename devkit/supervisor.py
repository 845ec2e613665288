"""Starts parts in order, keeps them running, and stops them in reverse order."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from rich.markup import escape

from devkit.parts import Errand
from devkit.processes import LaunchError, Process, tail

_WATCH_S = 0.1
_BACKOFF_FIRST_S = 0.5
_BACKOFF_LAST_S = 30.0
_STEADY_S = 60.0  # a part that ran so long is started again at once


class Supervisor:
    """Owns the running parts.

    For the person who watches: ``say`` takes a line that stays, with rich's
    markup, ``doing`` what is being waited for.
    """

    def __init__(self, say: Callable[[str], None], doing: Callable[[str], None]) -> None:
        self._say = say
        self._doing = doing
        self._parts: list[Process] = []

    async def start(self, *parts: Process) -> None:
        """Start parts side by side, or run errands. Raises the first :class:`LaunchError`."""
        self._parts += [part for part in parts if not isinstance(part, Errand)]
        self._doing("starting " + ", ".join(part.name for part in parts))
        outcomes = await asyncio.gather(*map(self._start, parts), return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    async def _start(self, part: Process) -> None:
        begun = time.monotonic()
        await asyncio.to_thread(part.start)
        word = "done " if isinstance(part, Errand) else "ready"
        self._say(f"[green]{word}[/]  {part.name} [dim]{time.monotonic() - begun:.1f} s[/]")

    async def keep(self) -> None:
        """Start parts again that end, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for part in self._parts:
                group.create_task(self._keep(part))

    async def _keep(self, part: Process) -> None:
        backoff_s = _BACKOFF_FIRST_S
        while True:
            started = time.monotonic()
            while part.running:  # noqa: ASYNC110 - a waiting thread for each would cost more
                await asyncio.sleep(_WATCH_S)
            if time.monotonic() - started > _STEADY_S:
                backoff_s = _BACKOFF_FIRST_S
            lines = escape(await asyncio.to_thread(tail, part.log, 3))
            self._say(
                f"[red]ended[/]  {part.name} with {part.returncode};"
                f" starting it again in {backoff_s:g} s; {part.log} says:\n{lines}"
            )
            await asyncio.sleep(backoff_s)
            backoff_s = min(2 * backoff_s, _BACKOFF_LAST_S)
            with contextlib.suppress(LaunchError):  # told above, at the next turn
                await asyncio.to_thread(part.start)
                self._say(f"[green]ready[/]  {part.name} again")

    async def stop(self) -> None:
        """Stop all parts, the last one first; each is done before the next is asked."""
        for part in reversed(self._parts):
            if part.running:
                self._doing(f"stopping {part.name}")
                await asyncio.to_thread(part.stop)
                self._say(f"[dim]stopped {part.name}[/]")
