from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from engine.core.errors import ConflictError
from engine.platform.valkey import keys
from engine.platform.valkey.codes import Code
from engine.sale.documents import Order
from engine.sale.inventory import inspection, restoration
from tests.store.conftest import SHARD, House

STALLS, BALCONY, ACCESSIBLE, STANDING, REDUCED = range(5)


async def orders_of(orders: list[Order]) -> AsyncIterator[Order]:
    for order in orders:
        yield order


async def sold_house(house: House) -> list[Order]:
    """One order of each state, and a hold beside them."""
    commands, place = house.commands, house.place
    ids = []
    for number in range(4):
        hold = await house.hold(
            [STALLS, 2, [0, number, 0, number + 7], False], [STANDING, 1, False, False]
        )
        ids.append((await house.order(hold)).id)
    await commands.confirm(place, ids[0], "pi_0", (await house.read_order(ids[0])).total)
    await commands.cancel(place, ids[1], "buyer", 1000)
    await commands.cancel(place, ids[2], "buyer", 1000)
    await commands.release_order(place, ids[2], "pi_2")
    await house.hold([BALCONY, 2, False, False])
    return [await house.read_order(order) for order in ids]


async def test_a_sale_is_restored_as_it_was(house: House, redis_client: Redis) -> None:
    orders = await sold_house(house)
    occurrence = house.snapshot.occurrence
    counters = await inspection.read_counters(redis_client, SHARD, occurrence)
    strings = await inspection.read_seats(redis_client, SHARD, occurrence)
    holds = [hold async for hold in inspection.iter_holds(redis_client, SHARD, occurrence)]
    await redis_client.flushall()
    restored = await restoration.restore(
        redis_client,
        house.snapshot,
        SHARD,
        orders=orders_of(orders),
        holds=holds,
        sequence=4,
        version=2,
    )
    assert (restored.orders, restored.holds, restored.holds_dropped) == (4, 1, 0)
    assert await inspection.read_counters(redis_client, SHARD, occurrence) == counters
    assert await inspection.read_seats(redis_client, SHARD, occurrence) == strings
    await house.assert_conserved()
    # and it goes on: numbers, limits, deadlines, state
    hold = await house.hold([STANDING, 1, False, False])
    assert (await house.order(hold)).sequence == 5
    after = await house.commands.release_order(house.place, orders[1].id, "pi_1")
    assert after[0] == Code.OK
    answer = await house.acquire([BALCONY, 3, False, False], buyer=holds[0].buyer)
    assert answer == [Code.HOLD_EXISTS, holds[0].id.encode()]


async def test_a_hold_whose_stock_an_order_has_is_dropped(
    house: House, redis_client: Redis
) -> None:
    hold = await house.hold([STALLS, 1, [0, 0], False])
    order = await house.order(hold)
    restored = await restoration.restore(
        redis_client,
        house.snapshot,
        SHARD,
        orders=orders_of([order]),
        holds=[hold],
        sequence=1,
        version=2,
    )
    assert (restored.orders, restored.holds, restored.holds_dropped) == (1, 0, 1)


async def test_two_orders_with_the_same_seat_stop_the_restoration(
    house: House, redis_client: Redis
) -> None:
    hold = await house.hold([STALLS, 1, [0, 0], False])
    order = await house.order(hold)
    try:
        with pytest.raises(ConflictError, match="another order has too"):
            await restoration.restore(
                redis_client,
                house.snapshot,
                SHARD,
                orders=orders_of([order, order]),
                sequence=1,
                version=2,
            )
        assert not await redis_client.exists(f"{house.place}:conf")
    finally:
        await restoration.restore(
            redis_client,
            house.snapshot,
            SHARD,
            orders=orders_of([order]),
            sequence=1,
            version=2,
        )


async def test_the_count_of_orders_never_goes_back(house: House, redis_client: Redis) -> None:
    await redis_client.set(keys.sequence(SHARD), 50)
    await restoration.restore(
        redis_client, house.snapshot, SHARD, orders=orders_of([]), sequence=7, version=2
    )
    assert await redis_client.get(keys.sequence(SHARD)) == b"50"
