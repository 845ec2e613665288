"""Reads what is free, cheaply enough to be asked again and again."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from redis.asyncio import Redis

from engine.platform.valkey import keys
from engine.platform.valkey.connections import mget
from engine.platform.valkey.packing import unpack
from engine.sale.errors import OccurrenceUnknownError
from engine.sale.inventory.inspection import Counter, read_counters_of, readable


class Availability(msgspec.Struct, kw_only=True):
    """The stock at ``version``.

    ``free``: of each counter. ``sections``: index -> string of bytes, only
    those that are newer than what the caller knew. ``versions``: the version
    at which each section last changed, as far as its string was read.
    ``configuration``: the version of the published configuration. ``paused``:
    whether the sale clock stands still.
    """

    version: int
    configuration: int
    paused: bool
    free: list[int]
    sections: dict[int, bytes]
    versions: dict[int, int]


class Stock(msgspec.Struct, kw_only=True):
    """All counters of one moment. ``sections``: those that were asked for, by index."""

    paused: bool
    counters: list[Counter]
    sections: dict[int, bytes]


async def read_stock(
    client: Redis, shard: int, occurrence: str, sections: Sequence[int] = ()
) -> Stock:
    """Read the counters and some sections' strings, at once. Raises ``OccurrenceUnknownError``."""
    prefix = keys.prefix(shard, occurrence)
    names = [f"{prefix}:{name}" for name in ("stock", "conf", "clock")]
    names += [f"{prefix}:seats:{section}" for section in sections]
    with readable(occurrence):
        stock, conf, clock, *strings = await mget(client, names)
        if stock is None or conf is None:
            raise OccurrenceUnknownError
        return Stock(
            paused=bool(clock and unpack(clock)[0]),
            counters=read_counters_of(conf, stock),
            sections={
                section: string or b"" for section, string in zip(sections, strings, strict=True)
            },
        )


async def read_availability(
    client: Redis,
    shard: int,
    occurrence: str,
    *,
    sections: int,
    known: dict[int, int] | None = None,
) -> Availability:
    """Read the stock and those of the ``sections`` sections that changed since ``known``.

    ``known`` is the ``versions`` of an earlier answer; None asks for all
    sections. What is read belongs together: it is one transaction.
    Raises ``OccurrenceUnknownError``.
    """
    with readable(occurrence):
        prefix = keys.prefix(shard, occurrence)
        names = [f"{prefix}:{name}" for name in ("stock", "conf", "clock", "versions")]
        stock_packed, conf_packed, clock_packed, touched = await mget(client, names)
        if stock_packed is None or conf_packed is None or touched is None:
            raise OccurrenceUnknownError
        versions = dict(enumerate(unpack(touched)))
        if known is None:
            wanted = list(range(sections))
        else:
            wanted = [section for section, at in versions.items() if at > known.get(section, 0)]
        strings: list[bytes] = []
        if wanted:
            # again with the sections, in one step: version, counts and seats of one moment
            names = [f"{prefix}:seats:{section}" for section in wanted]
            stock_again, touched_again, *found = await mget(
                client, [f"{prefix}:stock", f"{prefix}:versions", *names]
            )
            strings = [string or b"" for string in found]
            stock_packed = stock_again or stock_packed
            fetched = set(wanted)
            now = dict(enumerate(unpack(touched_again or touched)))
            # a section that changed between the two reads was not fetched: it is not known yet
            versions = {
                section: now[section] if section in fetched else before
                for section, before in versions.items()
            }
        stock: list[int] = unpack(stock_packed)
        return Availability(
            version=stock[0],
            configuration=unpack(conf_packed)[b"version"],
            paused=bool(clock_packed and unpack(clock_packed)[0]),
            free=stock[1::4],
            sections=dict(zip(wanted, strings, strict=True)),
            versions=versions,
        )
