"""What the buyers have lived through in line, all of them together."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import aiohttp


class Seen(NamedTuple):
    """A buyer's place: its ``slot`` in the roster, from 0, and its number, from 1."""

    slot: int
    number: int


@dataclass(slots=True)
class LineTally:
    """Counts for all buyers. ``anything``: a line of tickets that anybody could ask for."""

    anything: dict[str, Any]
    counts: Counter[str] = field(default_factory=Counter)
    places: dict[str, set[Seen]] = field(default_factory=dict)  # by the buyer's id
    waits: list[tuple[int, float]] = field(default_factory=list)  # number, seconds until called
    broken: list[str] = field(default_factory=list)  # promises that a buyer saw broken
    standing: int = 0
    _sockets: set[aiohttp.ClientWebSocketResponse] = field(default_factory=set)

    def place(self, buyer: str, slot: int, number: int) -> None:
        """Note the place that a buyer was told."""
        self.places.setdefault(buyer, set()).add(Seen(slot, number))

    def called(self, number: int, waited_s: float) -> None:
        """Note that somebody was called, so long after the opening or after joining."""
        self.waits.append((number, max(waited_s, 0.0)))

    @contextmanager
    def listening(self, socket: aiohttp.ClientWebSocketResponse) -> Iterator[None]:
        """Keep a socket at hand while a buyer listens on it."""
        self._sockets.add(socket)
        self.counts["waited on a socket"] += 1
        try:
            yield
        finally:
            self._sockets.discard(socket)

    async def hang_up(self, over: asyncio.Event) -> None:
        """Close all sockets when it is over."""
        await over.wait()
        await asyncio.gather(*(socket.close() for socket in self._sockets), return_exceptions=True)
