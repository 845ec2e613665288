"""Who holds again and again without buying waits longer each time, and who buys waits for nothing.

Time is the sale clock. A round is a minute: hoarders act first, as nobody is faster than a program.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from engine.core.ids import new_id
from engine.platform.valkey.codes import Code
from engine.platform.valkey.packing import packed_limits
from engine.sale.commands import Commands
from engine.sale.documents import Hold, Order
from engine.sale.inventory import publication
from engine.sale.inventory.snapshot import Quota, Snapshot, TicketType, Tier
from tests.houses import small_house
from tests.store.conftest import BODY, SHARD, House, key

MINUTE_MS, HOLD_MS = 60_000, 420_000
LIMITS = packed_limits(60_000, 3_600_000, 10)
TEN, PAIR = [0, 10, False, False], [0, 2, False, False]
HERE, THERE = b"networkA", b"networkB"


def hall(capacity: int = 100) -> Snapshot:
    kind = TicketType(
        code="ga",
        name="GA",
        kind="general",
        quotas=(0,),
        tiers=(Tier(code="only", name="Only", price=1000),),
    )
    quota = Quota(code="floor", name="Floor", capacity=capacity)
    return small_house(quotas=(quota,), ticket_types=(kind,), max_per_order=10)


class Floor:
    """A hall with standing places, and the guests who want them."""

    def __init__(self, house: House) -> None:
        self.house = house

    async def try_hold(self, buyer: str, line: list[Any], network: bytes = b"") -> list[Any]:
        house = self.house
        return await house.commands.acquire(
            house.place, buyer, new_id(), key(), BODY, [line], LIMITS + network
        )

    async def hold(self, buyer: str, line: list[Any], network: bytes = b"") -> Hold | None:
        answer = await self.try_hold(buyer, line, network)
        return msgspec.msgpack.decode(answer[1], type=Hold) if answer[0] == Code.OK else None

    async def must_hold(self, buyer: str, line: list[Any], network: bytes = b"") -> Hold:
        answer = await self.try_hold(buyer, line, network)
        assert answer[0] == Code.OK, answer
        return msgspec.msgpack.decode(answer[1], type=Hold)

    async def pause_ms(self, buyer: str, network: bytes = b"") -> int:
        """How long the buyer must wait now; 0, and a hold given back, when they need not."""
        answer = await self.try_hold(buyer, PAIR, network)
        if answer[0] == Code.HOLD_PAUSE:
            return int(answer[1])
        assert answer[0] == Code.OK, answer
        await self.release(msgspec.msgpack.decode(answer[1], type=Hold))
        return 0

    async def release(self, hold: Hold) -> None:
        answer = await self.house.commands.release(self.house.place, hold.buyer, hold.id)
        assert answer == [Code.OK]

    async def expire(self) -> None:
        await self.house.advance(HOLD_MS + 1)
        await self.house.sweep()

    async def buy(self, hold: Hold) -> None:
        await self.pay(await self.house.order(hold))

    async def pay(self, order: Order) -> None:
        answer = await self.house.commands.confirm(
            self.house.place, order.id, f"pi_{order.id}", order.total
        )
        assert answer[0] == Code.OK

    async def cancel(self, order: Order) -> None:
        await self.house.commands.cancel(self.house.place, order.id, "buyer", 30_000)
        await self.house.commands.release_order(self.house.place, order.id, f"pi_{order.id}")

    async def free(self) -> int:
        return (await self.house.counter("quota:floor")).free


@pytest.fixture
async def floor(redis_client: Redis, commands: Commands) -> Any:
    snapshot = hall()
    await publication.publish(redis_client, snapshot, shard=SHARD)
    made = Floor(House(redis_client, commands, snapshot))
    yield made
    await made.house.assert_conserved()


Dropping = Callable[[Floor, Hold], Awaitable[None]]


async def by_expiry(floor: Floor, _: Hold) -> None:
    await floor.expire()


async def by_release(floor: Floor, hold: Hold) -> None:
    await floor.house.advance(HOLD_MS - 1_000)
    await floor.release(hold)


async def by_cancelling(floor: Floor, hold: Hold) -> None:
    await floor.cancel(await floor.house.order(hold))


async def by_not_paying(floor: Floor, hold: Hold) -> None:
    order = await floor.house.order(hold)
    await floor.house.advance(600_001)
    assert (await floor.house.sweep())[1] == [order.id]
    await floor.cancel(order)


async def by_swapping(floor: Floor, hold: Hold) -> None:
    for _ in range(15):
        await floor.house.advance(MINUTE_MS)
        await floor.house.commands.change(
            floor.house.place, hold.buyer, hold.id, b"", BODY, [PAIR], [[0, 2, False]]
        )
    await floor.house.sweep()


DROPPING: list[Dropping] = [by_expiry, by_release, by_cancelling, by_not_paying, by_swapping]


@pytest.mark.parametrize("drop", DROPPING)
async def test_the_first_time_costs_nothing_then_the_pause_grows(
    floor: Floor, drop: Dropping
) -> None:
    buyer = new_id()
    pauses: list[int] = []
    while len(pauses) < 6:  # the pause after the last is not looked at
        answer = await floor.try_hold(buyer, PAIR)
        if answer[0] == Code.OK:
            await drop(floor, msgspec.msgpack.decode(answer[1], type=Hold))
            pauses.append(0)
            continue
        assert (answer[0], answer[2]) == (Code.HOLD_PAUSE, b"buyer")
        pauses[-1] = answer[1]
        await floor.house.advance(answer[1])
    pauses.pop()
    assert pauses[0] == 0
    assert 30_000 < pauses[1] <= 900_000
    for before, after in itertools.pairwise(pauses[1:]):
        assert after > 2 * before or after > 1_000_000
    assert max(pauses) <= 3_600_000


async def test_holds_that_are_dropped_at_once_cost_little_and_not_nothing(floor: Floor) -> None:
    buyer, pauses = new_id(), []
    for _ in range(60):
        answer = await floor.try_hold(buyer, PAIR)
        if answer[0] == Code.OK:
            await floor.release(msgspec.msgpack.decode(answer[1], type=Hold))
        else:
            pauses.append(answer[1])
            await floor.house.advance(answer[1])
    assert len(pauses) > 15
    assert pauses[0] < 10_000


async def test_unpaid_orders_cannot_be_piled_up(floor: Floor) -> None:
    buyer = new_id()
    for _ in range(2):
        await floor.house.order(await floor.must_hold(buyer, PAIR))
    assert (await floor.try_hold(buyer, PAIR))[0] == Code.HOLD_PAUSE


async def test_a_purchase_ends_the_pause_and_who_buys_never_has_one(floor: Floor) -> None:
    buyer = new_id()
    for _ in range(12):
        await floor.buy(await floor.must_hold(buyer, PAIR))
    other = new_id()
    await floor.must_hold(other, PAIR)
    await floor.expire()
    first = await floor.house.order(await floor.must_hold(other, PAIR))
    assert await floor.pause_ms(other) > 0
    await floor.pay(first)
    assert await floor.pause_ms(other) == 0


async def test_a_cart_that_ran_out_before_buying_is_not_felt(floor: Floor) -> None:
    buyer = new_id()
    for _ in range(3):
        await floor.must_hold(buyer, PAIR)
        await floor.expire()
        await floor.buy(await floor.must_hold(buyer, PAIR))


async def test_what_costs_nothing_is_a_purchase(redis_client: Redis, commands: Commands) -> None:
    snapshot = hall()
    kind = msgspec.structs.replace(
        snapshot.ticket_types[0], tiers=(Tier(code="only", name="Only", price=0),)
    )
    snapshot = msgspec.structs.replace(snapshot, ticket_types=(kind,))
    await publication.publish(redis_client, snapshot, shard=SHARD)
    floor, buyer = Floor(House(redis_client, commands, snapshot)), new_id()
    for _ in range(3):
        await floor.must_hold(buyer, PAIR)
        await floor.expire()
        await floor.house.order(await floor.must_hold(buyer, PAIR))


async def test_time_forgives(floor: Floor) -> None:
    buyer = new_id()
    for _ in range(2):
        await floor.must_hold(buyer, PAIR)
        await floor.expire()
    assert await floor.pause_ms(buyer) > 0
    await floor.house.advance(4 * 3_600_000)
    hold = await floor.must_hold(buyer, PAIR)
    await floor.release(hold)
    assert await floor.pause_ms(buyer) == 0


async def test_a_paused_sale_lengthens_no_pause_and_shortens_none(floor: Floor) -> None:
    buyer = new_id()
    for _ in range(2):
        await floor.must_hold(buyer, PAIR)
        await floor.expire()
    before = await floor.pause_ms(buyer)
    house = floor.house
    await house.commands.pause(house.place, "ada")
    assert (await floor.try_hold(buyer, PAIR)) == [Code.PAUSED]
    await house.commands.resume(house.place, "ada")
    assert 0 < await floor.pause_ms(buyer) <= before


async def test_asking_in_the_pause_does_not_lengthen_it(floor: Floor) -> None:
    buyer = new_id()
    for _ in range(2):
        await floor.must_hold(buyer, PAIR)
        await floor.expire()
    pauses = [await floor.pause_ms(buyer) for _ in range(5)]
    assert pauses == sorted(pauses, reverse=True)
    assert pauses[-1] > 0


async def test_a_repeated_request_gets_its_hold_in_the_pause_too(floor: Floor) -> None:
    buyer, used, house = new_id(), key(), floor.house
    for _ in range(2):
        hold = new_id()
        arguments = (house.place, buyer, hold, used, BODY, [PAIR], LIMITS)
        first = await house.commands.acquire(*arguments)
        assert first[0] == Code.OK
        await floor.expire()
        assert (await house.commands.acquire(*arguments))[:2] == first[:2]
        used = key()


GUESTS, PLACES, HONEST = 55, 500, 25


async def hoard(floor: Floor, drop: str, *, fresh: bool) -> int:
    """An hour of 55 hoarders of ten places each against honest buyers, who buy a pair each.

    Returns how many of the 500 places the honest have bought.
    """
    guests = [new_id() for _ in range(GUESTS)]
    kept: dict[int, tuple[Hold | Order, int]] = {}
    bought = 0

    async def let_go(i: int, minute: int) -> None:
        what, _ = kept.pop(i)
        if isinstance(what, Order):
            await floor.cancel(what)
        elif drop == "release":
            await floor.release(what)
        elif drop == "checkout":
            kept[i] = await floor.house.order(what), minute + 9

    async def take(i: int, minute: int) -> None:
        guests[i] = new_id() if fresh else guests[i]
        hold = await floor.hold(guests[i], TEN, HERE)
        if hold:
            kept[i] = hold, minute + (8 if drop == "expiry" else 6)

    async def buy() -> int:
        hold = await floor.hold(new_id(), PAIR, THERE)
        if hold:
            await floor.buy(hold)
        return 2 if hold else 0

    for minute in range(60):
        due = [i for i, (_, until) in kept.items() if minute >= until]
        await asyncio.gather(*(let_go(i, minute) for i in due))
        await floor.house.sweep()
        await asyncio.gather(*(take(i, minute) for i in range(GUESTS) if i not in kept))
        bought += sum(await asyncio.gather(*(buy() for _ in range(HONEST))))
        await floor.house.advance(MINUTE_MS)
    return bought


@pytest.fixture
async def large_floor(redis_client: Redis, commands: Commands) -> Any:
    snapshot = hall(PLACES)
    await publication.publish(redis_client, snapshot, shard=SHARD)
    made = Floor(House(redis_client, commands, snapshot))
    yield made
    await made.house.assert_conserved()


@pytest.mark.parametrize("fresh", [False, True], ids=["the same guests", "fresh guests"])
@pytest.mark.parametrize("drop", ["expiry", "release", "checkout"])
async def test_hoarders_lose_the_house_to_those_who_buy(
    large_floor: Floor, drop: str, fresh: bool
) -> None:
    assert await hoard(large_floor, drop, fresh=fresh) > PLACES * 0.9


@pytest.mark.parametrize("fresh", [False, True], ids=["the same guests", "fresh guests"])
async def test_without_budgets_hoarders_keep_the_house(
    large_floor: Floor, monkeypatch: pytest.MonkeyPatch, fresh: bool
) -> None:
    monkeypatch.setattr("tests.store.test_unused_holds.LIMITS", packed_limits(1, 1, 0))
    assert await hoard(large_floor, "release", fresh=fresh) < PLACES * 0.2


async def fill(floor: Floor, network: bytes, guests: int) -> None:
    """New guests take one place each while stock is short, and let all of them run out."""
    for _ in range(guests):
        await floor.must_hold(new_id(), [0, 1, False, False], network)
    await floor.expire()


async def shorten(floor: Floor) -> None:
    """Sell so much that stock is short."""
    for _ in range(8):
        await floor.buy(await floor.must_hold(new_id(), TEN, THERE))


async def test_a_network_that_only_holds_waits_and_others_do_not(floor: Floor) -> None:
    await shorten(floor)
    await fill(floor, HERE, 15)
    answer = await floor.try_hold(new_id(), PAIR, HERE)
    assert (answer[0], answer[2]) == (Code.HOLD_PAUSE, b"network")
    assert await floor.pause_ms(new_id(), THERE) == 0
    assert await floor.pause_ms(new_id()) == 0


async def test_a_network_waits_only_for_what_is_short(floor: Floor) -> None:
    await shorten(floor)
    await fill(floor, HERE, 15)
    assert await floor.pause_ms(new_id(), HERE) > 0
    quota = Quota(code="floor", name="Floor", capacity=1000)
    edit = msgspec.structs.replace(floor.house.snapshot, quotas=(quota,))
    await publication.republish(floor.house.client, edit)
    assert await floor.pause_ms(new_id(), HERE) == 0


async def test_a_network_whose_people_buy_as_people_do_is_never_shut(
    redis_client: Redis, commands: Commands
) -> None:
    snapshot = hall(600)
    await publication.publish(redis_client, snapshot, shard=SHARD)
    floor = Floor(House(redis_client, commands, snapshot))
    for _ in range(50):
        await floor.buy(await floor.must_hold(new_id(), TEN, THERE))
    for round_ in range(30):
        holds = [await floor.must_hold(new_id(), [0, 1, False, False], HERE) for _ in range(5)]
        await floor.buy(holds[0])
        for hold in holds[1:3]:
            await floor.release(hold)
        if round_ % 3 == 0:
            await floor.expire()
    await floor.house.assert_conserved()


async def test_the_pause_outlives_processes_and_is_each_occurrences_own(
    floor: Floor, redis_client: Redis, commands: Commands
) -> None:
    buyer = new_id()
    for _ in range(2):
        await floor.must_hold(buyer, PAIR)
        await floor.expire()
    other = hall()
    await publication.publish(redis_client, other, shard=SHARD)
    elsewhere = Floor(House(redis_client, commands, other))
    assert (await elsewhere.try_hold(buyer, PAIR))[0] == Code.OK
    again = Floor(House(redis_client, commands, floor.house.snapshot))
    assert await again.pause_ms(buyer) > 0


async def test_what_networks_did_is_forgotten(floor: Floor) -> None:
    await shorten(floor)
    await fill(floor, HERE, 3)
    keys = [name async for name in floor.house.client.scan_iter(match="*:unused:*")]
    assert {name.rpartition(b":")[2] for name in keys} <= {
        HERE.hex().encode(),
        THERE.hex().encode(),
    }
    assert keys
    times = await asyncio.gather(*(floor.house.client.pttl(name) for name in keys))
    assert all(0 < left <= 6 * 3_600_000 for left in times)
