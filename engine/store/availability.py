"""Reads what is free, cheaply enough to be asked again and again."""

from __future__ import annotations

import msgspec
from redis.asyncio import Redis

from engine.core.errors import OccurrenceUnknownError
from engine.store import keys
from engine.store.packing import unpack


class Availability(msgspec.Struct, kw_only=True):
    """The stock at ``version``.

    ``free``: of each counter. ``sections``: index -> string of bytes, only
    those that are newer than what the caller knew. ``versions``: the version
    at which each section last changed. ``configuration``: the version of the
    published configuration. ``paused``: whether the sale clock stands still.
    """

    version: int
    configuration: int
    paused: bool
    free: list[int]
    sections: dict[int, bytes]
    versions: dict[int, int]


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
    prefix = keys.prefix(shard, occurrence)
    async with client.pipeline(transaction=False) as pipe:
        pipe.mget(f"{prefix}:stock", f"{prefix}:conf", f"{prefix}:clock")
        pipe.hgetall(f"{prefix}:versions")
        (stock_packed, conf_packed, clock_packed), touched = await pipe.execute()
    if stock_packed is None or conf_packed is None:
        raise OccurrenceUnknownError
    if known is None:
        wanted = list(range(sections))
    else:
        wanted = [int(s) for s, version in touched.items() if int(version) > known.get(int(s), 0)]
    strings: list[bytes] = []
    if wanted:
        # again with the sections, in one step: version, counts and seats of one moment
        async with client.pipeline(transaction=True) as pipe:
            pipe.get(f"{prefix}:stock")
            pipe.hgetall(f"{prefix}:versions")
            pipe.mget([f"{prefix}:seats:{section}" for section in wanted])
            stock_packed, touched, strings = await pipe.execute()
    stock: list[int] = unpack(stock_packed)
    versions = {int(s): int(version) for s, version in touched.items()}
    if known is not None and wanted:
        # a section that changed between the two reads was not fetched: it is not known yet
        versions = {
            s: version if s in wanted else known.get(s, 0) for s, version in versions.items()
        }
    return Availability(
        version=stock[0],
        configuration=unpack(conf_packed)[b"version"],
        paused=bool(clock_packed and unpack(clock_packed)[0]),
        free=stock[1::4],
        sections=dict(zip(wanted, strings, strict=True)),
        versions=versions,
    )
