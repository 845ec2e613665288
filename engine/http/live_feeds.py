"""The feeds of all occurrences of this process, and the bound on their sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from aiohttp import WSCloseCode, web

from engine.core.errors import OverloadedError

_FEEDS_MAX = 256  # occurrences with a picture in memory; those that nobody watches go first
_CLOSES_AT_ONCE = 500  # closing waits for the client's reply, so many are closed together


class LiveFeed(Protocol):
    """What is told to the sockets of one occurrence."""

    @property
    def listeners(self) -> int:
        """The number of sockets."""

    @property
    def dropped(self) -> int:
        """Sockets dropped for not reading."""

    async def close(self) -> None:
        """Stop reading."""


FeedT = TypeVar("FeedT", bound=LiveFeed)


class Feeds(Generic[FeedT]):
    """Makes a feed when an occurrence is first asked for; counts sockets over all of them."""

    def __init__(self, make: Callable[[str], FeedT], sockets_max: int) -> None:
        self._make = make
        self._sockets_max = sockets_max
        self._feeds: dict[str, FeedT] = {}
        self._sockets: set[web.WebSocketResponse] = set()
        self._dropped = 0
        self._closing = False

    @property
    def sockets(self) -> int:
        """Open sockets of this process."""
        return len(self._sockets)

    @property
    def dropped(self) -> int:
        """Sockets dropped for being slow, since the start."""
        return self._dropped + sum(feed.dropped for feed in self._feeds.values())

    def of(self, occurrence: str) -> FeedT:
        """Return the feed of an occurrence. The caller has checked that it is published."""
        feed = self._feeds.get(occurrence)
        if feed is None:
            if len(self._feeds) >= _FEEDS_MAX:
                self._forget_unwatched()
            feed = self._feeds[occurrence] = self._make(occurrence)
        return feed

    @contextmanager
    def counted(self, socket: web.WebSocketResponse) -> Iterator[None]:
        """Count a socket while it is open. Raises ``OverloadedError`` when there is no room."""
        if self._closing or len(self._sockets) >= self._sockets_max:
            raise OverloadedError("Too many live connections: ask again and again instead")
        self._sockets.add(socket)
        try:
            yield
        finally:
            self._sockets.discard(socket)

    async def close(self) -> None:
        """Tell every client that the server goes away, and stop all readings."""
        self._closing = True
        sockets = list(self._sockets)
        for start in range(0, len(sockets), _CLOSES_AT_ONCE):
            await asyncio.gather(
                *(
                    socket.close(code=WSCloseCode.GOING_AWAY, message=b"the server restarts")
                    for socket in sockets[start : start + _CLOSES_AT_ONCE]
                ),
                return_exceptions=True,
            )
        for feed in self._feeds.values():
            await feed.close()

    def _forget_unwatched(self) -> None:
        for occurrence, feed in list(self._feeds.items()):
            if not feed.listeners:
                self._dropped += feed.dropped
                del self._feeds[occurrence]
        if len(self._feeds) >= _FEEDS_MAX:
            raise OverloadedError("Too many occurrences are watched at once")
