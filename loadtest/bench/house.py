"""The occurrences that the hot plane is measured on, and how they become new again."""

from __future__ import annotations

from dataclasses import dataclass

from redis.asyncio import Redis

from engine.platform.valkey import keys
from engine.sale.inventory import publication
from engine.sale.inventory.snapshot import Snapshot
from loadtest.bench.commands import confirm_orders, hold_request, place_orders
from loadtest.checks import CheckError, check_stock
from loadtest.stadium import PRICE, lines_by_category, stadium_snapshot

_PAGE = 500
_MANY = 100  # seats an order when a house is sold out beforehand


@dataclass(frozen=True, slots=True)
class Houses:
    """Published stadiums: ``fresh`` to sell, ``sold`` sold out. ``pristine``: all keys, dumped."""

    fresh: list[Snapshot]
    sold: Snapshot
    pristine: dict[bytes, bytes]

    async def restore(self, client: Redis) -> None:
        """Make everything as it was after publication, in one step."""
        async with client.pipeline(transaction=True) as pipe:
            pipe.flushall()
            for key, dump in self.pristine.items():
                pipe.restore(key, 0, dump)
            await pipe.execute()

    async def check(self, client: Redis, held: int) -> None:
        """Check the stock of all fresh houses; at least ``held`` holds must be there."""
        found = 0
        for snapshot in self.fresh:
            holds, _ = await check_stock(client, snapshot.occurrence)
            found += holds
        if found < held:
            raise CheckError(f"{held} holds were acknowledged, but there are only {found}")


async def publish_houses(client: Redis, count: int, seats: int) -> Houses:
    """Publish ``count`` stadiums to sell and one that is sold out."""
    fresh = [stadium_snapshot(seats) for _ in range(count)]
    for shard, snapshot in enumerate(fresh, start=1):
        await publication.publish(client, snapshot, shard=shard)
    sold = stadium_snapshot(seats, per_order=_MANY)
    await publication.publish(client, sold, shard=0)
    place = keys.prefix(0, sold.occurrence)
    holds = (hold_request(kind, line) for kind, line in lines_by_category(sold, _MANY))
    await confirm_orders(client, place, await place_orders(client, place, holds, PRICE))
    await client.delete(keys.stream(0))  # nobody is going to write these down
    return Houses(fresh, sold, await _dumped(client))


async def _dumped(client: Redis) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    names = [name async for name in client.scan_iter(count=_PAGE)]
    for at in range(0, len(names), _PAGE):
        page = names[at : at + _PAGE]
        async with client.pipeline(transaction=False) as pipe:
            for name in page:
                pipe.dump(name)
            found |= zip(page, await pipe.execute(), strict=True)
    return found
