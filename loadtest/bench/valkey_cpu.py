"""What a batched hold costs Valkey, against the plainest batch that writes as much."""

from __future__ import annotations

import random
from typing import Any, ClassVar

from redis.asyncio import Redis

from engine.platform.valkey import keys
from engine.platform.valkey.connections import get
from engine.platform.valkey.packing import pack, unpack
from engine.sale.inventory import publication
from loadtest.bench import commands
from loadtest.bench.context import Context
from loadtest.bench.results import Ratio
from loadtest.checks import CheckError, check_stock
from loadtest.stadium import lines_by_category, stadium_snapshot

# What a hold must write at the least: its document, the buyer's, a deadline. The documents come
# ready made; requests and answers are unpacked, packed and as large as those of holds.
_PLAIN = """
local requests = cmsgpack.unpack(ARGV[1])
local hold, buyer = ARGV[2], ARGV[3]
local answers = {}
for i = 1, #requests do
  local request = requests[i]
  redis.call('SET', KEYS[1] .. ':h:' .. request[2], hold)
  redis.call('HSET', KEYS[1] .. ':b', request[1], buyer)
  redis.call('ZADD', KEYS[1] .. ':due', 1700000000000 + i, 'h' .. request[2])
  answers[i] = { 0, hold, 1700000000000, 1700000000000 }
end
return cmsgpack.pack(answers)
"""
_BATCHES = 100  # a round at most, of 50 requests each; in all there must be seats for them


class ValkeyBench:
    """``valkey``: CPU of Valkey's main thread per batched hold, over a plain batch."""

    name: ClassVar = "valkey"

    async def run(self, context: Context) -> None:
        """Measure: rounds of 100 batches of each kind, in turns, on one server."""
        measured, limit = [], []
        async with context.valkey("valkey-cpu") as (_, client):
            snapshot = stadium_snapshot(context.options.seats)
            await publication.publish(client, snapshot, shard=0)
            place = keys.prefix(0, snapshot.occurrence)
            seats = list(lines_by_category(snapshot, 1))
            random.Random(0).shuffle(seats)  # noqa: S311 - the order of a test
            requests = iter(seats)
            script = str(await client.script_load(_PLAIN))
            rounds = context.options.rounds
            room = (len(seats) - 1) // commands.BATCH // (rounds + 1)
            per_round = min(_BATCHES, room) * commands.BATCH
            hold, buyer = await _documents(client, place, next(requests))
            for number in range(rounds + 1):
                context.say(f"valkey: round {number} of {rounds}")
                chosen = [commands.hold_request(*next(requests)) for _ in range(per_round)]
                before = await _cpu_us(client)
                for batch in commands.batches(chosen):
                    await commands.run(client, "hold_acquire", place, batch)
                between = await _cpu_us(client)
                for batch in commands.batches(chosen):
                    await client.evalsha(script, 1, "{s01}:plain", pack(batch), hold, buyer)
                after = await _cpu_us(client)
                if number:  # the first one warms up
                    measured.append((between - before) / per_round)
                    limit.append((after - between) / per_round)
            held, _ = await check_stock(client, snapshot.occurrence)
            if held != (rounds + 1) * per_round + 1:
                raise CheckError(f"{held} holds are there in place of those that were made")
        context.results.ratios.append(
            Ratio(
                name="valkey_cpu",
                title=f"Valkey CPU per batched hold (batches of {commands.BATCH})",
                limit_title="a Lua batch of plain SET + HSET + ZADD of the same size",
                unit="us",
                measured=measured,
                limit=limit,
                must=4,
                aim=2,
                at_most=True,
                excludes="nothing: reading, scripts, append-only file and its fsync are in both",
            )
        )


async def _documents(client: Redis, place: str, seat: tuple[int, list[int]]) -> tuple[bytes, bytes]:
    """Make one hold, and return its document and the rest of its buyer's, where it is stored."""
    request = commands.hold_request(*seat)
    answers = await commands.run(client, "hold_acquire", place, [request])
    buyer = unpack(await get(client, f"{place}:b:{request[0]}") or b"")
    hold: bytes = buyer[b"hold"]
    if hold != answers[0][1]:
        raise CheckError("the hold is not stored as it was answered")
    return hold, pack({**buyer, b"hold": b""})


async def _cpu_us(client: Redis) -> float:
    """Return the CPU time of the main thread, which runs scripts and syncs their effects."""
    info: dict[str, Any] = await client.info("cpu")
    seconds = info["used_cpu_sys_main_thread"] + info["used_cpu_user_main_thread"]
    return float(seconds) * 1e6
