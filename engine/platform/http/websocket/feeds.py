"""The feeds of all occurrences of this process, and the bound on their sockets."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from engine.platform.http.websocket.sockets import LiveSockets
from engine.platform.valkey.errors import OverloadedError

_WATCHED_MAX = 256  # occurrences that are watched: each is read four times a second
_PLAIN_MAX = 256  # others with a picture in memory; those that were not asked for longest go first


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
    """Makes a feed when an occurrence is first asked for; has the sockets of all of them.

    Reading what is free never depends on how much is watched: those who only ask
    have feeds of their own, unless the occurrence is watched anyway.
    """

    def __init__(
        self, make: Callable[[str], FeedT], sockets_max: int, sockets_of_one_max: int = 0
    ) -> None:
        self._make = make
        self._feeds: dict[str, FeedT] = {}
        self._plain: OrderedDict[str, FeedT] = OrderedDict()
        self._dropped = 0
        self.sockets = LiveSockets(sockets_max, sockets_of_one_max)

    @property
    def dropped(self) -> int:
        """Sockets dropped for being slow, since the start."""
        return self._dropped + sum(feed.dropped for feed in self._feeds.values())

    def of(self, occurrence: str) -> FeedT:
        """Return the feed of an occurrence that is to be watched.

        The caller has checked that it is published. Raises ``OverloadedError``.
        """
        feed = self._feeds.get(occurrence)
        if feed is None:
            if len(self._feeds) >= _WATCHED_MAX:
                self._forget_unwatched()
            feed = self._plain.pop(occurrence, None) or self._make(occurrence)
            self._feeds[occurrence] = feed
        return feed

    def plain(self, occurrence: str) -> FeedT:
        """Return the feed of an occurrence that is only asked for. It is published."""
        feed = self._feeds.get(occurrence)
        if feed is not None:
            return feed
        feed = self._plain.get(occurrence)
        if feed is None:
            if len(self._plain) >= _PLAIN_MAX:
                self._plain.popitem(last=False)
            feed = self._plain[occurrence] = self._make(occurrence)
        self._plain.move_to_end(occurrence)
        return feed

    async def close(self) -> None:
        """Tell every client that the server goes away, and stop all readings."""
        await self.sockets.close()
        for feed in (*self._feeds.values(), *self._plain.values()):
            await feed.close()

    def _forget_unwatched(self) -> None:
        for occurrence, feed in list(self._feeds.items()):
            if not feed.listeners:
                self._dropped += feed.dropped
                del self._feeds[occurrence]
        if len(self._feeds) >= _WATCHED_MAX:
            raise OverloadedError("Too many occurrences are watched at once: ask instead")
