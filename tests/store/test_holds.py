from __future__ import annotations

from typing import Any

import msgspec
import pytest

from engine.core.ids import new_id
from engine.platform.valkey.codes import Code, LineCode
from engine.sale.documents import Hold
from tests.store.conftest import BODY, House, key

STALLS, BALCONY, ACCESSIBLE, STANDING, REDUCED = range(5)
ROW = 7  # six seats and a separator


def seats(*pairs: tuple[int, int]) -> list[int]:
    return [number for pair in pairs for number in pair]


async def test_a_mixed_hold_takes_seats_quantities_tiers_and_quotas(house: House) -> None:
    hold = await house.hold(
        [STALLS, 2, seats((0, 0), (0, 1)), False],
        [BALCONY, 2, False, False],
        [STANDING, 3, False, False],
    )
    assert [line.price for line in hold.lines] == [3000, 2000, 1500]
    assert (await house.counter("category:Stalls")).held == 2
    assert (await house.counter("tier:stalls/early")).held == 2
    assert (await house.counter("category:Balcony")).held == 2
    assert (await house.counter("quota:licence")).held == 2
    assert (await house.counter("quota:standing")).held == 3
    assert await house.records() == []


async def test_every_failing_line_is_named_and_nothing_is_taken(house: House) -> None:
    await house.hold([STALLS, 1, seats((0, 0)), False])
    answer = await house.acquire(
        [STALLS, 1, seats((0, 0)), False],
        [STALLS, 1, seats((0, 1)), False],
        [STALLS, 2, seats((1, 0), (0, 6)), False],
        [99, 1, False, False],
        [STANDING, 7, False, False],
        [REDUCED, 1, False, False],
    )
    assert answer == [
        Code.LINES,
        [
            [0, LineCode.SEATS_TAKEN, seats((0, 0))],
            [2, LineCode.WRONG_SEATS, seats((1, 0), (0, 6))],
            [3, LineCode.UNKNOWN_TYPE],
            [4, LineCode.MAX, 6],
        ],
    ]
    assert (await house.counter("category:Stalls")).held == 1
    assert (await house.counter("quota:standing")).held == 0


async def test_two_lines_on_the_same_stock_are_counted_together(house: House) -> None:
    await house.hold([STANDING, 5, False, False])
    answer = await house.acquire([STANDING, 4, False, False], [REDUCED, 2, False, False])
    assert answer == [Code.LINES, [[1, LineCode.SOLD_OUT, 1]]]
    assert (await house.counter("quota:standing")).free == 5


async def test_the_same_seat_twice_is_refused(house: House) -> None:
    answer = await house.acquire([STALLS, 2, seats((0, 3), (0, 3)), False])
    assert answer == [Code.LINES, [[0, LineCode.WRONG_SEATS, seats((0, 3))]]]
    answer = await house.acquire(
        [STALLS, 1, seats((0, 3)), False], [STALLS, 1, seats((0, 3)), False]
    )
    assert answer == [Code.LINES, [[1, LineCode.SEATS_TAKEN, seats((0, 3))]]]


async def test_a_quota_stops_the_sale_while_seats_are_left(house: House) -> None:
    for _ in range(3):
        await house.hold([BALCONY, 4, False, True])
    answer = await house.acquire([BALCONY, 1, False, False])
    assert answer == [Code.LINES, [[0, LineCode.SOLD_OUT, 0]]]
    assert (await house.counter("category:Balcony")).free == 6


async def test_a_tier_is_taken_whole_and_comes_back(house: House) -> None:
    first = await house.hold([STALLS, 2, False, False])
    second = await house.hold([STALLS, 2, False, False])
    third = await house.hold([STALLS, 1, False, False])
    assert [hold.lines[0].price for hold in (first, second, third)] == [3000, 4500, 3000]
    assert (await house.commands.release(house.place, first.buyer, first.id))[0] == Code.OK
    fourth = await house.hold([STALLS, 2, False, False])
    assert fourth.lines[0].price == 3000


async def test_limits_hold_across_holds_and_orders_of_a_buyer(house: House) -> None:
    buyer = new_id()
    hold = await house.hold([BALCONY, 3, False, False], buyer=buyer)
    await house.order(hold)
    answer = await house.acquire([BALCONY, 2, False, False], buyer=buyer)
    assert answer == [Code.LINES, [[0, LineCode.BUYER_MAX, 4]]]
    await house.hold([BALCONY, 1, False, False], buyer=buyer)


async def test_an_order_has_at_most_so_many_tickets(house: House) -> None:
    answer = await house.acquire([STANDING, 6, False, False], [STALLS, 3, False, False])
    assert answer == [Code.LINES, [[1, LineCode.ORDER_MAX, 8]]]


async def test_fewer_than_the_minimum_is_refused(house: House) -> None:
    answer = await house.acquire([REDUCED, 1, False, False])
    assert answer == [Code.LINES, [[0, LineCode.MIN, 2]]]


async def test_a_buyer_has_one_hold(house: House) -> None:
    hold = await house.hold([STANDING, 1, False, False])
    answer = await house.acquire([STANDING, 1, False, False], buyer=hold.buyer)
    assert answer == [Code.HOLD_EXISTS, hold.id.encode()]


async def test_the_same_key_gives_the_same_hold_and_another_body_is_refused(house: House) -> None:
    buyer, used = new_id(), key()
    lines = [[STANDING, 1, False, False]]
    first = await house.commands.acquire(house.place, buyer, new_id(), used, BODY, lines)
    again = await house.commands.acquire(house.place, buyer, new_id(), used, BODY, lines)
    other = await house.commands.acquire(house.place, buyer, new_id(), used, b"c" * 16, lines)
    assert first[:2] == again[:2]
    assert other == [Code.KEY_REUSED]
    assert (await house.counter("quota:standing")).held == 1


async def test_keys_are_remembered_up_to_a_bound(house: House) -> None:
    buyer, used = new_id(), key()
    lines = [[STANDING, 1, False, False]]
    first = await house.commands.acquire(house.place, buyer, new_id(), used, BODY, lines)
    hold = msgspec.msgpack.decode(first[1], type=Hold)
    for _ in range(31):
        await house.commands.extend(house.place, buyer, hold.id, key(), BODY)
    again = await house.commands.acquire(house.place, buyer, new_id(), used, BODY, lines)
    assert again[:2] == first[:2]
    await house.commands.extend(house.place, buyer, hold.id, key(), BODY)
    gone = await house.commands.acquire(house.place, buyer, new_id(), used, BODY, lines)
    assert gone == [Code.HOLD_EXISTS, hold.id.encode()]


async def test_a_change_adds_and_removes_at_once_and_keeps_prices(house: House) -> None:
    hold = await house.hold([STALLS, 2, seats((0, 0), (0, 1)), False], [STANDING, 4, False, False])
    answer = await house.commands.change(
        house.place,
        hold.buyer,
        hold.id,
        b"",
        BODY,
        [[STALLS, 2, seats((0, 2), (0, 0)), False]],
        [[STALLS, 1, seats((0, 0))], [STANDING, 3, False]],
    )
    assert answer[0] == Code.OK
    changed = msgspec.msgpack.decode(answer[1], type=Hold)
    # the removal comes first: with one early ticket given back, two were left for the addition
    assert sorted((line.price, line.quantity) for line in changed.lines) == [(1500, 1), (3000, 3)]
    assert changed.version == 2


async def test_a_change_that_fails_changes_nothing(house: House) -> None:
    hold = await house.hold([STALLS, 2, seats((0, 0), (0, 1)), False])
    await house.hold([STALLS, 1, seats((0, 5)), False])
    answer = await house.commands.change(
        house.place,
        hold.buyer,
        hold.id,
        b"",
        BODY,
        [[STALLS, 1, seats((0, 5)), False]],
        [[STALLS, 1, seats((0, 0))]],
    )
    assert answer == [Code.LINES, [[0, LineCode.SEATS_TAKEN, seats((0, 5))]]]
    read = await house.commands.read(house.place, "h", hold.id, hold.buyer)
    assert msgspec.msgpack.decode(read[1], type=Hold) == hold


@pytest.mark.parametrize(
    ("remove", "answer"),
    [
        ([STALLS, 1, seats((0, 5))], [Code.LINES, [[0, LineCode.NOT_HELD]]]),
        ([STALLS, 1, False], [Code.LINES, [[0, LineCode.NOT_HELD]]]),
        ([STANDING, 1, False], [Code.LINES, [[0, LineCode.NOT_HELD]]]),
        ([99, 1, False], [Code.LINES, [[0, LineCode.NOT_HELD]]]),
        ([STALLS, 1, seats((0, 0))], [Code.HOLD_EMPTY]),
    ],
)
async def test_what_cannot_be_removed_is_named(
    house: House, remove: list[Any], answer: list[Any]
) -> None:
    hold = await house.hold([STALLS, 1, seats((0, 0)), False])
    assert (
        await house.commands.change(house.place, hold.buyer, hold.id, b"", BODY, [], [remove])
        == answer
    )
    assert (await house.counter("category:Stalls")).held == 1


async def test_a_hold_lasts_seven_minutes_from_the_last_addition_and_fifteen_in_all(
    house: House,
) -> None:
    hold = await house.hold([STANDING, 1, False, False])
    assert hold.expires - hold.created == 420_000
    for wait, expected in ((300_000, 720_000), (300_000, 900_000), (200_000, 900_000)):
        await house.advance(wait)
        answer = await house.commands.extend(house.place, hold.buyer, hold.id, key(), BODY)
        after = msgspec.msgpack.decode(answer[1], type=Hold)
        assert after.expires - after.created == pytest.approx(expected, abs=30_000)
        assert after.expires - after.created <= 900_000
    await house.advance(101_000)
    answer = await house.commands.extend(house.place, hold.buyer, hold.id, key(), BODY)
    assert answer == [Code.HOLD_ENDED, b"expired", b""]


async def test_expired_holds_go_back_on_sale_by_the_sweep(house: House) -> None:
    for _ in range(3):
        await house.hold([STALLS, 2, False, False])
    await house.advance(420_001)
    assert await house.sweep() == (3, [])
    assert (await house.counter("category:Stalls")).free == 18


async def test_a_buyer_who_meets_empty_stock_gets_what_has_expired(house: House) -> None:
    await house.hold([STANDING, 6, False, False])
    await house.hold([STANDING, 4, False, False])
    assert (await house.acquire([STANDING, 2, False, False]))[0] == Code.LINES
    await house.advance(420_001)
    await house.hold([STANDING, 6, False, False])


async def test_a_hold_is_its_buyers_alone(house: House) -> None:
    hold = await house.hold([STANDING, 1, False, False])
    thief = new_id()
    commands, place = house.commands, house.place
    assert await commands.read(place, "h", hold.id, thief) == [Code.HOLD_UNKNOWN]
    assert await commands.release(place, thief, hold.id) == [Code.HOLD_UNKNOWN]
    assert await commands.extend(place, thief, hold.id, key(), BODY) == [Code.HOLD_UNKNOWN]
    assert await commands.change(place, thief, hold.id, b"", BODY, [[3, 1, False, False]], []) == [
        Code.HOLD_UNKNOWN
    ]
    stolen = Hold(id=hold.id, buyer=thief, version=1, created=0, expires=0, lines=hold.lines)
    assert await house.try_order(stolen) == [Code.HOLD_UNKNOWN]


async def test_releasing_twice_is_releasing_once(house: House) -> None:
    hold = await house.hold([STANDING, 2, False, False])
    for _ in range(2):
        assert await house.commands.release(house.place, hold.buyer, hold.id) == [Code.OK]
    assert (await house.counter("quota:standing")).free == 10


async def test_a_pause_stops_every_deadline_and_refuses_new_holds(house: House) -> None:
    hold = await house.hold([STANDING, 1, False, False])
    await house.advance(400_000)
    assert (await house.commands.pause(house.place, "ada"))[0] == Code.OK
    assert await house.acquire([STANDING, 1, False, False]) == [Code.PAUSED]
    first = await house.commands.read(house.place, "h", hold.id, hold.buyer)
    second = await house.commands.read(house.place, "h", hold.id, hold.buyer)
    assert first[2] == second[2]  # the sale clock
    assert await house.sweep() == (0, [])
    assert (await house.commands.resume(house.place, "ada"))[0] == Code.OK
    await house.hold([STANDING, 1, False, False])


async def test_before_and_after_the_window_nothing_is_sold(house: House) -> None:
    for window in ({"sale_starts_at": 3_000_000_000_000}, {"sale_ends_at": 1}):
        other = await _sibling(house, **window)
        assert await other.acquire([STANDING, 1, False, False]) == [Code.NOT_ON_SALE]


async def _sibling(house: House, **changes: Any) -> House:
    from engine.sale.inventory import publication
    from tests.houses import small_house
    from tests.store.conftest import SHARD

    snapshot = small_house(**changes)
    await publication.publish(house.client, snapshot, shard=SHARD)
    return House(house.client, house.commands, snapshot)
