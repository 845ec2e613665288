"""What a million buyers in line cost Valkey, and how long the draw of so many takes."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from typing import ClassVar

from redis.asyncio import Redis

from engine.core.settings import Settings
from engine.core.tokens import TokenSigner
from engine.queue.gate.door import Door
from engine.sale.inventory import publication
from loadtest.bench.context import Context
from loadtest.bench.line import BenchLine, Joiner, line_snapshot
from loadtest.bench.results import Figure, Ratio
from loadtest.bench.servers import both_cores
from loadtest.checks import CheckError

# Of a million a third come through the NAT of mobile operators, the others from home lines.
_OPERATOR_SHARE = 1 / 3
_OPERATOR_BLOCKS = 1_200  # /24 of IPv4: fewer than 300 joins of each, so none is suspect
_HOME_BLOCKS = 200_000
_OPERATORS_FROM, _HOMES_FROM = 10 << 16, 20 << 16  # the first block of each, 10.0.0.0/24
_TOKEN_S = 3_600
_SEATS = 6_000  # do not matter here


class PlacesBench:
    """``places``: bytes of Valkey's memory per waiting buyer; joining and drawing them all."""

    name: ClassVar = "places"

    async def run(self, context: Context) -> None:
        """Measure once: a million joins give the same figure every time."""
        with both_cores():  # Valkey on the one, the joining on the other
            await self._run(context)

    async def _run(self, context: Context) -> None:
        count = context.options.places
        async with context.valkey("places") as (_, client):
            snapshot = line_snapshot(_SEATS)
            await publication.publish(client, snapshot, shard=0)
            line = BenchLine(client, snapshot, 0)
            joiners = _joiners(Settings())
            await line.join(joiners, 1, lambda _: None)  # the script is loaded now

            def progress(joined: int) -> None:
                context.say(f"places: {joined:,} of {count:,} have joined")

            before, began = await _used_bytes(client), time.perf_counter()
            await line.join(joiners, count, progress)
            joined_s, after = time.perf_counter() - began, await _used_bytes(client)
            if await line.places() != count + 1:
                raise CheckError(f"there are not {count + 1} places after as many joins")
            n, digest_s = await line.draw()
        context.results.ratios.append(
            Ratio(
                name="bytes_per_place",
                title=f"Valkey's memory per waiting buyer, {count:,} of them",
                limit_title="one byte",
                unit="bytes",
                measured=[(after - before) / count],
                limit=[1.0],
                must=160,
                aim=100,
                at_most=True,
                excludes="nothing: places, roster, and the budgets of addresses,"
                " which are gone after 20 minutes",
            )
        )
        context.results.figures += [
            Figure(
                name="joins_by_script",
                title=f"{count:,} joins straight to the script",
                value=joined_s,
                unit="s",
                note=f"{count / joined_s:,.0f} joins/s of one Valkey, every batch synced to disk",
            ),
            Figure(
                name="draw_digest",
                title=f"digest of the roster of {n:,} places",
                value=digest_s * 1000,
                unit="ms",
                note="read and hashed: then everybody has a number",
            ),
        ]


def _joiners(settings: Settings) -> Iterator[Joiner]:
    """Yield buyers, each with the budgets that the door takes a join from."""
    door, signer = Door(settings), TokenSigner(settings.token_secret)
    rng = random.Random(0)  # noqa: S311 - the order of a test
    while True:
        if rng.random() < _OPERATOR_SHARE:
            block = _OPERATORS_FROM + rng.randrange(_OPERATOR_BLOCKS)
        else:
            block = _HOMES_FROM + rng.randrange(_HOME_BLOCKS)
        claims = signer.guest(None, _TOKEN_S)
        address = f"{block >> 16}.{block >> 8 & 255}.{block & 255}.1"
        yield claims.sub, door.budgets(address)


async def _used_bytes(client: Redis) -> int:
    """Return what all keys take, by the server's own reckoning of each.

    Not its memory as a whole: buffers of connections and of the disk come and go meanwhile.
    """
    used = 0
    async for key in client.scan_iter(count=1_000):
        used += await client.memory_usage(key, samples=0) or 0
    return used
