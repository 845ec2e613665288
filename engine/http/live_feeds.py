"""The feeds of all occurrences of this process, and the bound on their sockets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from engine.core.errors import OverloadedError
from engine.http.sockets import LiveSockets

_FEEDS_MAX = 256  # occurrences with a picture in memory; those that nobody watches go first


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
    """Makes a feed when an occurrence is first asked for; has the sockets of all of them."""

    def __init__(self, make: Callable[[str], FeedT], sockets_max: int) -> None:
        self._make = make
        self._feeds: dict[str, FeedT] = {}
        self._dropped = 0
        self.sockets = LiveSockets(sockets_max)

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

    async def close(self) -> None:
        """Tell every client that the server goes away, and stop all readings."""
        await self.sockets.close()
        for feed in self._feeds.values():
            await feed.close()

    def _forget_unwatched(self) -> None:
        for occurrence, feed in list(self._feeds.items()):
            if not feed.listeners:
                self._dropped += feed.dropped
                del self._feeds[occurrence]
        if len(self._feeds) >= _FEEDS_MAX:
            raise OverloadedError("Too many occurrences are watched at once")
