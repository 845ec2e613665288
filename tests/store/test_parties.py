"""Adults and children: several types of one category in one hold sit together where they can."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from engine.platform.valkey.codes import Code, LineCode
from engine.sale.commands import Commands
from engine.sale.documents import Hold
from engine.sale.inventory import publication
from engine.sale.inventory.snapshot import Category, Row, Section, Snapshot, TicketType, Tier
from tests.houses import seat, small_house
from tests.store.conftest import SHARD, House

ADULT, CHILD, OTHER = 0, 1, 2


def hall(*rows: int) -> Snapshot:
    """Rows of so many seats for adults and children, and a row of four of another category."""

    def kind(code: str, category: int, limited: int | None = None) -> TicketType:
        tiers = (Tier(code="only", name="Only", price=1000, capacity=limited),)
        return TicketType(code=code, name=code, kind="seat", category=category, tiers=tiers)

    def row(number: int, seats: int, category: int) -> Row:
        return Row(
            name=str(number),
            seats=tuple(seat("A", number, i, category) for i in range(seats)),
        )

    return small_house(
        categories=(Category(name="All"), Category(name="Other")),
        quotas=(),
        ticket_types=(kind("adult", 0), kind("child", 0, 5), kind("other", 1)),
        sections=(
            Section(
                name="A",
                rows=(
                    *(row(number, seats, 0) for number, seats in enumerate(rows, 1)),
                    row(len(rows) + 1, 4, 1),
                ),
            ),
        ),
        max_per_order=20,
    )


@pytest.fixture
async def open_hall(redis_client: Redis, commands: Commands) -> Any:
    made: list[House] = []

    async def make(*rows: int) -> House:
        snapshot = hall(*rows)
        await publication.publish(redis_client, snapshot, shard=SHARD)
        made.append(House(redis_client, commands, snapshot))
        return made[-1]

    yield make
    for house in made:
        await house.assert_conserved()


def seats_of(hold: Hold, *kinds: int) -> list[int]:
    return sorted(
        at
        for line in hold.lines
        if line.type in (kinds or (ADULT, CHILD))
        for at in line.seats[1::2]
    )


def is_block(seats: list[int]) -> bool:
    return all(b - a == 1 for a, b in pairwise(seats))


@pytest.mark.parametrize(
    ("adults", "children"), [(2, 2), (1, 3), (3, 1), (1, 1), (2, 5), (5, 2), (4, 4)]
)
async def test_adults_and_children_sit_in_one_block(
    open_hall: Any, adults: int, children: int
) -> None:
    house = await open_hall(9, 9, 9)
    hold = await house.hold([ADULT, adults, False, False], [CHILD, children, False, False])
    taken = seats_of(hold)
    assert len(taken) == adults + children
    assert is_block(taken)
    assert is_block(seats_of(hold, ADULT))
    assert is_block(seats_of(hold, CHILD))


async def test_the_block_is_where_one_for_all_of_them_is_and_not_where_one_line_fits_best(
    open_hall: Any,
) -> None:
    house = await open_hall(3, 5)  # the first row is better, but has no room for all
    hold = await house.hold([ADULT, 2, False, False], [CHILD, 3, False, False])
    assert seats_of(hold) == [4, 5, 6, 7, 8]


async def test_without_a_block_for_all_each_line_sits_together(open_hall: Any) -> None:
    house = await open_hall(3, 3)
    hold = await house.hold([ADULT, 2, False, False], [CHILD, 3, False, False])
    assert is_block(seats_of(hold, ADULT))
    assert is_block(seats_of(hold, CHILD))
    assert not is_block(seats_of(hold))


async def test_a_line_that_cannot_sit_together_is_named_and_nothing_is_taken(
    open_hall: Any,
) -> None:
    house = await open_hall(3, 3)
    answer = await house.acquire([ADULT, 4, False, False], [CHILD, 2, False, False])
    assert answer == [Code.LINES, [[0, LineCode.NOT_TOGETHER]]]
    split = await house.hold([ADULT, 4, False, True], [CHILD, 2, False, False])
    assert len(seats_of(split)) == 6


async def test_a_line_that_fails_for_another_reason_gives_the_block_back(open_hall: Any) -> None:
    house = await open_hall(9)
    for failing in ([CHILD, 6, False, False], [CHILD, 11, False, False], [9, 1, False, False]):
        answer = await house.acquire([ADULT, 2, False, False], failing)
        assert answer[0] == Code.LINES
        assert [failure[0] for failure in answer[1]] == [1]
    assert (await house.counter("category:All")).free == 9
    hold = await house.hold([ADULT, 9, False, False])
    assert is_block(seats_of(hold))


async def test_other_categories_and_chosen_seats_are_no_part_of_it(open_hall: Any) -> None:
    house = await open_hall(9)
    hold = await house.hold(
        [ADULT, 2, False, False],
        [OTHER, 2, False, False],
        [CHILD, 1, [0, 0], False],
        [CHILD, 2, False, False],
    )
    assert [line.quantity for line in hold.lines] == [2, 2, 3]
    chosen = [at for at in seats_of(hold) if at != 0]
    assert is_block(chosen)
    assert len(chosen) == 4


async def test_what_is_added_to_a_hold_is_sought_together_too(open_hall: Any) -> None:
    house = await open_hall(9, 9)
    hold = await house.hold([OTHER, 1, False, False])
    answer = await house.commands.change(
        *(house.place, hold.buyer, hold.id, b"", bytes(16)),
        [[ADULT, 2, False, False], [CHILD, 3, False, False]],
        [],
    )
    assert answer[0] == Code.OK
    changed = msgspec.msgpack.decode(answer[1], type=Hold)
    assert is_block(seats_of(changed))
