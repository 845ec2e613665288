from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from engine.core.ids import new_id
from engine.sale.documents import Hold
from engine.sale.snapshot import Category, Row, Section, Snapshot, TicketType, Tier
from engine.store import inspection, publication
from engine.store.codes import Code, LineCode
from engine.store.commands import Commands
from tests.houses import seat, small_house
from tests.store.conftest import BODY, SHARD, House, key

STALLS, ACCESSIBLE = 0, 2


def hall(rows: dict[str, str], *, sections: int = 1) -> Snapshot:
    """A hall of sections side by side; a row is a string: '.' a seat, 'w' a wheelchair place."""
    kinds: dict[str, Any] = {".": "standard", "w": "wheelchair"}
    return small_house(
        categories=(Category(name="All"),),
        quotas=(),
        max_per_order=20,
        ticket_types=(
            TicketType(
                code="all",
                name="All",
                kind="seat",
                category=0,
                max_per_order=20,
                tiers=(Tier(code="full", name="Full", price=1000),),
            ),
        ),
        sections=tuple(
            Section(
                name=f"S{s}",
                rows=tuple(
                    Row(
                        name=name,
                        seats=tuple(
                            seat(f"S{s}", int(name), s * 100 + i, 0, kinds[kind])
                            for i, kind in enumerate(row)
                        ),
                    )
                    for name, row in rows.items()
                ),
            )
            for s in range(sections)
        ),
    )


@pytest.fixture
async def open_hall(redis_client: Redis, commands: Commands) -> Any:
    houses: list[House] = []

    async def make(rows: dict[str, str], *, sections: int = 1) -> House:
        snapshot = hall(rows, sections=sections)
        await publication.publish(redis_client, snapshot, shard=SHARD)
        houses.append(House(redis_client, commands, snapshot))
        return houses[-1]

    yield make
    for house in houses:
        await house.assert_conserved()


def places(hold: Hold) -> list[tuple[int, int]]:
    numbers = hold.lines[0].seats
    return list(zip(numbers[::2], numbers[1::2], strict=True))


async def test_front_and_centre_come_first(open_hall: Any) -> None:
    house = await open_hall({"1": "." * 9, "2": "." * 9})
    first = places(await house.hold([0, 3, False, False]))
    assert first == [(0, 3), (0, 4), (0, 5)]


async def test_no_single_seat_is_stranded_where_that_can_be_avoided(open_hall: Any) -> None:
    house = await open_hall({"1": "." * 5, "2": "." * 6})
    # two of five in the middle would strand a single on one side: the side leaves three together
    assert places(await house.hold([0, 2, False, False])) in ([(0, 0), (0, 1)], [(0, 3), (0, 4)])
    # two of three would strand one: the second row has a place that does not
    assert places(await house.hold([0, 2, False, False]))[0][1] >= 6


async def test_a_stranding_place_is_taken_when_there_is_no_other(open_hall: Any) -> None:
    house = await open_hall({"1": "..."})
    assert len(places(await house.hold([0, 2, False, False]))) == 2


async def test_together_means_in_one_row(open_hall: Any) -> None:
    house = await open_hall({"1": "...", "2": "..."})
    answer = await house.acquire([0, 4, False, False])
    assert answer == [Code.LINES, [[0, LineCode.NOT_TOGETHER]]]


async def test_a_split_is_made_only_when_the_buyer_allows_it_and_stays_near(
    open_hall: Any,
) -> None:
    house = await open_hall({"1": "...", "2": "...", "3": "..."}, sections=2)
    found = places(await house.hold([0, 4, False, True]))
    assert len({section for section, _ in found}) == 1
    rows = sorted({position // 4 for _, position in found})
    assert rows[-1] - rows[0] == 1


async def test_a_split_that_finds_too_few_leaves_everything_as_it_was(open_hall: Any) -> None:
    house = await open_hall({"1": ".."})
    answer = await house.acquire([0, 2, False, True], [0, 2, False, True])
    assert answer[0] == Code.LINES
    assert places(await house.hold([0, 2, False, False])) == [(0, 0), (0, 1)]


async def test_wheelchair_places_are_only_chosen_on_the_map(open_hall: Any) -> None:
    house = await open_hall({"1": "w..w"})
    assert places(await house.hold([0, 2, False, False])) == [(0, 1), (0, 2)]
    answer = await house.acquire([0, 1, False, False])
    assert answer == [Code.LINES, [[0, LineCode.NOT_TOGETHER]]]
    assert (await house.acquire([0, 1, [0, 0], False]))[0] == Code.OK


async def test_a_category_of_wheelchair_places_alone_has_best_ones(house: House) -> None:
    assert (await house.acquire([ACCESSIBLE, 1, False, False]))[0] == Code.OK


async def test_two_lines_of_a_hold_do_not_get_the_same_seats(house: House) -> None:
    hold = await house.hold([STALLS, 2, False, False], [STALLS, 4, False, False])
    taken = [
        pair for line in hold.lines for pair in zip(line.seats[::2], line.seats[1::2], strict=True)
    ]
    assert len(set(taken)) == 6


async def test_a_line_that_fails_does_not_hide_seats_from_the_next_buyer(open_hall: Any) -> None:
    house = await open_hall({"1": ".."})
    # the first line finds the seats, the second fails, so they are free again and must be found
    answer = await house.acquire([0, 2, False, False], [0, 2, False, False])
    assert answer[0] == Code.LINES
    assert len(places(await house.hold([0, 2, False, False]))) == 2


async def test_seats_that_come_back_are_found_again(open_hall: Any) -> None:
    house = await open_hall({"1": "....", "2": "...."})
    holds = [await house.hold([0, 2, False, False]) for _ in range(4)]
    assert (await house.acquire([0, 1, False, False]))[0] == Code.LINES
    gone = holds[0]
    await house.commands.release(house.place, gone.buyer, gone.id)
    assert places(await house.hold([0, 2, False, False])) == places(gone)


@pytest.mark.parametrize("seed", range(4))
async def test_marks_never_hide_a_run_that_is_free(
    open_hall: Any, redis_client: Redis, seed: int
) -> None:
    """Best available finds n together exactly when some row has n together, whatever happened."""
    dice = random.Random(seed)  # noqa: S311 - a test's dice
    house = await open_hall({str(row): "." * 7 for row in range(1, 6)}, sections=2)
    holds: list[Hold] = []
    for _ in range(150):
        if holds and dice.random() < 0.45:
            gone = holds.pop(dice.randrange(len(holds)))
            await house.commands.release(house.place, gone.buyer, gone.id)
            continue
        n = dice.randint(1, 4)
        strings = await inspection.read_seats(redis_client, SHARD, house.snapshot.occurrence)
        possible = any(b"." * n in row for s in strings for row in s.split(b"|"))
        answer = await house.commands.acquire(
            house.place, new_id(), new_id(), key(), BODY, [[0, n, False, False]]
        )
        assert (answer[0] == Code.OK) == possible
        if answer[0] == Code.OK:
            holds.append(msgspec.msgpack.decode(answer[1], type=Hold))
