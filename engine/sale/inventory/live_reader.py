"""Reads the live picture of an occurrence; only what has changed since the last reading."""

from __future__ import annotations

from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine.core.clock import FollowedClock
from engine.platform.valkey.errors import StoreUnavailableError
from engine.sale.inventory import stock, views
from engine.sale.inventory.availability import Availability, read_availability
from engine.sale.inventory.inspection import read_configuration
from engine.sale.inventory.live_map import Picture
from engine.sale.inventory.stock_reading import free_by_name
from engine.sale.service import Sale


class PictureReader:
    """Reads one occurrence; its feed never asks twice at once."""

    def __init__(self, client: Redis, sale: Sale, clock: FollowedClock, occurrence: str) -> None:
        self._client = client
        self._clock = clock
        self._sale = sale
        self._occurrence = occurrence
        self._last: Availability | None = None
        self._names: list[str] = []
        self._strings: dict[int, bytes] = {}

    async def __call__(self) -> Picture:
        """Return the picture as it is now.

        Raises ``OccurrenceUnknownError`` and :class:`StoreUnavailableError`.
        """
        published = await self._sale.published(self._occurrence)
        snapshot, shard = published.snapshot, published.shard
        try:
            now = await self._read(shard, len(snapshot.sections))
            if self._last is None or self._last.configuration != now.configuration:
                found = await read_configuration(self._client, shard, self._occurrence)
                self._names = found.names
        except (RedisError, OSError) as error:
            raise StoreUnavailableError("Ask again in a moment") from error
        self._strings.update(now.sections)
        self._last = now
        # A counter that publication added since then has no name yet; the next reading has it.
        counters = dict(zip(self._names, now.free, strict=False))
        free = free_by_name(published, counters, self._strings)
        now_ms = self._clock.ms()
        return Picture(
            version=now.version,
            sections=tuple(self._strings[index] for index in range(len(snapshot.sections))),
            counts=views.counts(snapshot, free, now_ms, paused=now.paused),
            free=free,
            paused=now.paused,
            changes_ms=stock.next_change(snapshot, now_ms),
        )

    async def _read(self, shard: int, sections: int) -> Availability:
        last = self._last
        if last is not None and len(self._strings) == sections:
            now = await read_availability(
                self._client, shard, self._occurrence, sections=sections, known=last.versions
            )
            if now.version >= last.version:
                return now
        # The first reading; or the store was rebuilt and its versions began anew.
        return await read_availability(self._client, shard, self._occurrence, sections=sections)
