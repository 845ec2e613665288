"""What is told of the stock is what a hold gets: the scripts against stock.py."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from engine.platform.valkey.codes import Code, LineCode
from engine.sale.commands import Commands
from engine.sale.documents import Hold
from engine.sale.inventory import layout, publication, stock
from engine.sale.inventory.inspection import read_seats
from engine.sale.inventory.occurrences import Published
from engine.sale.inventory.snapshot import Snapshot, Tier
from engine.sale.inventory.stock_reading import read
from tests.stock_cases import TABLE, house_of, now_ms, seated, standing, tier, windows
from tests.store.conftest import SHARD, House

Make = Callable[[Snapshot], Awaitable[House]]


@pytest.fixture
async def on_sale(redis_client: Redis, commands: Commands) -> Any:
    made: list[House] = []

    async def make(snapshot: Snapshot) -> House:
        await publication.publish(redis_client, snapshot, shard=SHARD)
        made.append(House(redis_client, commands, snapshot))
        return made[-1]

    yield make
    for house in made:
        await house.assert_conserved()


async def published(house: House) -> Published:
    return await asyncio.to_thread(Published, house.snapshot, SHARD, 1)


async def told(house: House) -> list[stock.TypeStock]:
    reading = await read(house.client, await published(house))
    return stock.of_all(house.snapshot, reading.free, now_ms(), paused=reading.paused)


async def free_of(house: House) -> dict[str, int]:
    return (await read(house.client, await published(house))).free


async def take(house: House, index: int, n: int, seats: Any = False) -> tuple[bool, Any]:
    """Try to hold n of a type; what is held goes back. Returns (tier, quantity, price) a line."""
    answer = await house.acquire([index, n, seats, seats is False])
    if answer[0] != Code.OK:
        return False, answer

    hold = msgspec.msgpack.decode(answer[1], type=Hold)
    await house.commands.release(house.place, hold.buyer, hold.id)
    return True, [(line.tier, line.quantity, line.price) for line in hold.lines]


async def assert_agrees(house: House) -> None:
    """Try every quantity of every type, and compare with what is told."""
    snapshot, free = house.snapshot, await free_of(house)
    for index, one in enumerate(await told(house)):
        kind = one.kind
        limits = [kind.max_per_order, snapshot.max_per_order, kind.max_per_buyer]
        most = min(n for n in [*limits, snapshot.max_per_buyer] if n is not None)
        for n in range(1, min(most, 12) + 2):
            had, lines = await take(house, index, n)
            can = one.state == "available" and kind.min_per_order <= n <= min(one.free, most)
            assert had is can, (one, n, lines)
            if had:
                parts = stock.prices(kind, free, now_ms(), n)
                assert parts is not None
                assert [(tier, some) for tier, some, _ in lines] == parts
                assert [price for *_, price in lines] == [kind.tiers[t].price for t, _ in parts]
        if one.tier is not None and one.state == "available":
            _, lines = await take(house, index, kind.min_per_order)
            assert lines[0][2] == one.tier.price
        if kind.category is not None:
            await assert_seats_agree(house, index, one, most)


async def assert_seats_agree(house: House, index: int, one: stock.TypeStock, most: int) -> None:
    """The same for those who choose on the map, the seats that are chosen there only first."""
    only = layout.only_on_map(house.snapshot).get(one.kind.category or 0, [])
    chosen = [
        (section, at)
        for section, states in enumerate(await states_of(house))
        for at, state in enumerate(states)
        if state == ord(".")
    ]
    chosen.sort(key=lambda place: place not in only)
    for n in range(1, min(most, len(chosen)) + 1):
        had, lines = await take(house, index, n, [at for place in chosen[:n] for at in place])
        can = one.state in {"available", "on_map_only"} and (
            one.kind.min_per_order <= n <= min(one.free + one.on_map_only, most)
        )
        assert had is can, (one, n, lines)


async def states_of(house: House) -> list[bytes]:

    return await read_seats(house.client, SHARD, house.snapshot.occurrence)


@pytest.mark.parametrize("case", TABLE)
async def test_counts_states_and_prices_are_what_a_hold_gets(on_sale: Make, case: str) -> None:
    kind, changes, state, free, price, later = TABLE[case]
    house = await on_sale(house_of(kind, **changes))
    (one,) = await told(house)
    assert (one.state, one.free) == (state, free)
    assert (None if one.tier is None else one.tier.price) == price
    assert (one.opens_at is not None) is later
    await assert_agrees(house)


@pytest.mark.parametrize("case", ["open", "seats", "only wheelchair places left"])
async def test_in_a_pause_nothing_can_be_had(on_sale: Make, case: str) -> None:
    kind, changes, *_ = TABLE[case]
    house = await on_sale(house_of(kind, **changes))
    await house.commands.pause(house.place, "ada")
    (one,) = await told(house)
    assert one.state == "paused"
    assert await house.acquire([0, kind.min_per_order, False, True]) == [Code.PAUSED]
    await house.commands.resume(house.place, "ada")
    await assert_agrees(house)


@pytest.mark.parametrize("seed", range(25))
async def test_whatever_is_on_sale_and_taken_both_agree(on_sale: Make, seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - a test's dice

    def tiers() -> list[Tier]:
        names = list(windows(0))
        weights = [4, 4, 1, 1, 1]
        return [
            tier(
                f"t{i}",
                10 * (i + 1),
                dice.choices(names, weights)[0],
                dice.choice([None, 0, 1, 2, 3, 5]),
            )
            for i in range(dice.randint(1, 3))
        ]

    def limits() -> dict[str, Any]:
        most = dice.randint(1, 6)
        found: dict[str, Any] = {
            "min_per_order": dice.randint(1, min(most, 3)),
            "max_per_order": most,
        }
        if dice.random() < 0.2:
            found["max_per_buyer"] = dice.randint(1, 6)
        return found

    kinds = [
        dice.choice((standing, seated))(
            *tiers(), code=f"k{i}", quotas=dice.choice(((0,), (1,), (0, 1))), **limits()
        )
        for i in range(3)
    ]
    house = await on_sale(
        house_of(
            *kinds,
            row="".join(dice.choice("....wx") for _ in range(8)),
            capacities=(dice.randint(0, 8), dice.randint(1, 8)),
            max_per_order=dice.randint(2, 8),
            max_per_buyer=dice.choice((None, 5)),
        )
    )
    for _ in range(3):
        await assert_agrees(house)
        await house.acquire([dice.randrange(3), dice.randint(1, 4), False, True])


async def test_a_quantity_that_no_tier_has_is_held_at_several(on_sale: Make) -> None:
    kind = seated(tier("a", 20, "open", 3), tier("b", 30, "open", 9), max_per_order=12)
    house = await on_sale(house_of(kind, row="." * 12))
    one = await house.hold([0, 11, False, False])
    assert [(line.tier, line.quantity, line.price) for line in one.lines] == [
        (0, 3, 20),
        (1, 8, 30),
    ]
    assert [len(line.seats) for line in one.lines] == [6, 16]
    assert one.lines[0].seats + one.lines[1].seats == [n for at in range(11) for n in (0, at)]
    for name, held in (("tier:seated/a", 3), ("tier:seated/b", 8), ("category:All", 11)):
        assert (await house.counter(name)).held == held
    # what is left is refused whole: both tiers together do not have so many
    answer = await house.acquire([0, 3, False, True])
    assert answer == [Code.LINES, [[0, LineCode.SOLD_OUT, 1]]]
    order = await house.order(one)
    assert (
        sum(line.price * line.quantity for line in order.lines) == order.subtotal == 3 * 20 + 8 * 30
    )


async def test_named_seats_are_held_at_several_tiers_and_given_back_by_name(on_sale: Make) -> None:
    kind = seated(tier("a", 20, "open", 1), tier("b", 30, "open", 2))
    house = await on_sale(house_of(kind, row="..."))
    one = await house.hold([0, 3, [0, 2, 0, 0, 0, 1], False])
    assert [(line.tier, line.seats) for line in one.lines] == [(0, [0, 2]), (1, [0, 0, 0, 1])]
    answer = await house.commands.change(
        house.place, one.buyer, one.id, b"", bytes(16), [], [[0, 2, [0, 2, 0, 1]]]
    )
    assert answer[0] == Code.OK
    assert (await house.counter("tier:seated/a")).free == 1
    assert (await house.counter("tier:seated/b")).free == 1


async def test_all_tiers_are_taken_or_none(on_sale: Make) -> None:
    kinds = (
        standing(tier("a", 20, "open", 2), tier("b", 30, "open", 2)),
        standing(tier("c", 20, "open", 1), code="other", quotas=(1,)),
    )
    house = await on_sale(house_of(*kinds))
    answer = await house.acquire([0, 4, False, False], [1, 2, False, False])
    assert answer == [Code.LINES, [[1, LineCode.SOLD_OUT, 1]]]
    for name in ("tier:standing/a", "tier:standing/b", "quota:q0"):
        assert (await house.counter(name)).held == 0
