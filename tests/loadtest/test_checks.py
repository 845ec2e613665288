"""The check of the stock after every load notices what is wrong."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from engine.platform.valkey import keys
from engine.platform.valkey.connections import get
from engine.sale.inventory import inspection, publication
from loadtest.bench import commands
from loadtest.checks import CheckError, check_stock
from loadtest.stadium import PRICE, lines_by_category, stadium_snapshot

SHARD = 4


async def sold(client: Redis) -> tuple[str, str]:
    """Twenty tickets held, forty sold; the occurrence and the beginning of its keys."""
    snapshot = stadium_snapshot(500)
    await publication.publish(client, snapshot, shard=SHARD)
    place = keys.prefix(SHARD, snapshot.occurrence)
    lines = iter(lines_by_category(snapshot, 1))
    held = [commands.hold_request(*next(lines)) for _ in range(20)]
    await commands.run(client, "hold_acquire", place, held)
    bought = await commands.place_orders(
        client, place, [commands.hold_request(*next(lines)) for _ in range(40)], PRICE
    )
    await commands.confirm_orders(client, place, bought)
    return snapshot.occurrence, place


async def test_sound_stock_is_counted(redis_client: Redis) -> None:
    occurrence, _ = await sold(redis_client)
    assert await check_stock(redis_client, occurrence) == (20, 60)


async def test_a_leaked_seat_is_found(redis_client: Redis) -> None:
    occurrence, place = await sold(redis_client)
    states = await get(redis_client, f"{place}:seats:0") or b""
    await redis_client.setrange(f"{place}:seats:0", states.index(b"."), "h")
    with pytest.raises(CheckError, match="does not agree"):
        await check_stock(redis_client, occurrence)


async def test_a_lost_hold_is_found(redis_client: Redis) -> None:
    occurrence, place = await sold(redis_client)
    async for hold in inspection.iter_holds(redis_client, SHARD, occurrence):
        await redis_client.delete(f"{place}:b:{hold.buyer}")
        break
    with pytest.raises(CheckError, match="held"):
        await check_stock(redis_client, occurrence)


async def test_a_refused_command_stops_a_benchmark(redis_client: Redis) -> None:
    snapshot = stadium_snapshot(500)
    await publication.publish(redis_client, snapshot, shard=SHARD)
    place = keys.prefix(SHARD, snapshot.occurrence)
    line = next(iter(lines_by_category(snapshot, 1)))
    twice = [commands.hold_request(*line), commands.hold_request(*line)]
    with pytest.raises(commands.CommandError, match="hold_acquire"):
        await commands.run(redis_client, "hold_acquire", place, twice)
