"""Reads what is free of an occurrence as :mod:`engine.sale.inventory.stock` takes it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine.sale.errors import OccurrenceUnknownError
from engine.sale.inventory import stock
from engine.sale.inventory.availability import read_stock
from engine.sale.inventory.occurrences import Published

_KEPT_MAX: Final = 4_096  # occurrences; some hundred bytes each


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """``free``: as :mod:`.stock` takes it. ``held``, ``sold``: by counter, as read."""

    free: dict[str, int]
    held: dict[str, int]
    sold: dict[str, int]
    paused: bool


def free_by_name(
    published: Published, counters: Mapping[str, int], sections: Mapping[int, bytes]
) -> dict[str, int]:
    """Return ``free``: the counters, and what of the categories is for choosing on the map only.

    ``sections``: the strings of those that have such seats, at least.
    """
    free = dict(counters)
    for category, seats in published.only_on_map.items():
        name = stock.on_map(published.snapshot.categories[category].name)
        free[name] = sum(sections[section][at : at + 1] == b"." for section, at in seats)
    return free


async def read(client: Redis, published: Published) -> Reading:
    """Return what is free now. Raises ``OccurrenceUnknownError``, ``RedisError``."""
    sections = sorted({at for seats in published.only_on_map.values() for at, _ in seats})
    found = await read_stock(client, published.shard, published.snapshot.occurrence, sections)
    counters = found.counters
    free = {counter.key: counter.free for counter in counters}
    return Reading(
        free=free_by_name(published, free, found.sections),
        held={counter.key: counter.held for counter in counters},
        sold={counter.key: counter.sold for counter in counters},
        paused=found.paused,
    )


class Readings:
    """The last reading of each occurrence, at most ``interval_s`` old: for lists of many."""

    def __init__(self, client: Redis, interval_s: float) -> None:
        self._client = client
        self._interval_s = interval_s
        self._kept: dict[str, tuple[float, Reading]] = {}

    async def of(self, occurrences: Sequence[Published]) -> dict[str, Reading]:
        """Return the readings by occurrence; without those that nothing is known of.

        While the store is away the last ones are told.
        """
        now_s = time.monotonic()
        stale = [one for one in occurrences if not self._is_fresh(one, now_s)]
        if stale:
            if len(self._kept) + len(stale) > _KEPT_MAX:
                self._kept.clear()
            await asyncio.gather(*(self._read(one) for one in stale))
        found = {}
        for one in occurrences:
            kept = self._kept.get(one.snapshot.occurrence)
            if kept is not None:
                found[one.snapshot.occurrence] = kept[1]
        return found

    def _is_fresh(self, one: Published, now_s: float) -> bool:
        kept = self._kept.get(one.snapshot.occurrence)
        return kept is not None and now_s - kept[0] < self._interval_s

    async def _read(self, one: Published) -> None:
        try:
            reading = await read(self._client, one)
        except (RedisError, OSError, OccurrenceUnknownError):
            return  # one that cannot be read must not hide the others
        self._kept[one.snapshot.occurrence] = (time.monotonic(), reading)
