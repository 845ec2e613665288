"""What is left of a line when its stock has run out: whoever was not called, in order."""

from __future__ import annotations

import asyncio

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine.core.errors import ConflictError
from engine.platform.valkey.errors import StoreUnavailableError
from engine.queue import store as waiting
from engine.queue.draw import numbers as draw
from engine.sale.inventory.occurrences import Published


class Remaining(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A place that was not called. ``number``: of the place; ``buyer``: whose it is."""

    number: int
    buyer: str


async def remaining(client: Redis, published: Published) -> list[Remaining]:
    """Return all who still wait, the next one first. Takes 100 bytes a place of memory for a while.

    Raises ``ConflictError`` before the draw, when nobody has a number; ``StoreUnavailableError``.
    """
    occurrence, shard = published.snapshot.occurrence, published.shard
    try:
        found = await waiting.read_draw(client, shard, occurrence)
        if not found.digest:
            raise ConflictError("The line has not been drawn yet: nobody has a number")
        served = (await waiting.read_queue(client, shard, occurrence)).queue.served
        key = draw.draw_key(bytes.fromhex(found.seed), bytes.fromhex(found.digest))
        left: list[Remaining] = []
        async for page in waiting.iter_places(client, shard, occurrence):
            left += await asyncio.to_thread(_numbered, page, key, found.n, served)
    except (RedisError, OSError) as error:
        raise StoreUnavailableError(retry_after_s=1) from error
    # HSCAN may tell a place twice
    by_number = {place.number: place for place in left}
    return [by_number[number] for number in sorted(by_number)]


def _numbered(page: dict[str, int], key: bytes, n: int, served: int) -> list[Remaining]:
    places = (
        Remaining(number=draw.number(key, n, index if index >= 0 else n - index - 1), buyer=buyer)
        for buyer, index in page.items()
    )
    return [place for place in places if place.number > served]
