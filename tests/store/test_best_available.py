from __future__ import annotations

import asyncio
import random
import re
import struct
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from engine.core.ids import new_id
from engine.platform.valkey.codes import Code, LineCode
from engine.platform.valkey.connections import get, run_script
from engine.platform.valkey.packing import pack
from engine.sale.commands import Commands
from engine.sale.documents import Hold, Order
from engine.sale.inventory import inspection, layout, publication, restoration
from engine.sale.inventory.snapshot import Category, Row, Section, Snapshot, TicketType, Tier
from tests.houses import seat, small_house
from tests.store.conftest import BODY, SHARD, House, key

STALLS, ACCESSIBLE = 0, 2
LOOK_AHEAD = 32  # rows, as in lua/includes/best_available.lua


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


async def in_one_batch(house: House, command: str, requests: list[list[Any]]) -> list[Hold]:
    answers = await run_script(house.client, command, house.place, pack(requests))
    assert [answer[0] for answer in answers] == [Code.OK] * len(requests), answers
    return [msgspec.msgpack.decode(answer[1], type=Hold) for answer in answers]


def acquire(*line: Any) -> list[Any]:
    return [new_id(), new_id(), key(), BODY, [[0, *line]]]


def change(hold: Hold, add: list[Any], remove: list[Any]) -> list[Any]:
    return [hold.buyer, hold.id, key(), BODY, add, remove]


async def test_a_row_that_just_fits_is_seen_when_it_comes_about_within_a_batch(
    open_hall: Any,
) -> None:
    house = await open_hall({"1": "...", "2": "...", "3": "..."})
    requests = [acquire(2, False, False), acquire(1, [0, 10], False), acquire(2, False, False)]
    found = await in_one_batch(house, "hold_acquire", requests)
    assert places(found[2]) == [(0, 8), (0, 9)]


@pytest.mark.parametrize("searched_before", [True, False])
async def test_seats_that_come_back_within_a_batch_are_found_in_it(
    open_hall: Any, searched_before: bool
) -> None:
    house = await open_hall({str(row): ".." for row in range(1, 6)})
    first, *others = [await house.hold([0, 2, False, False]) for _ in range(3)]
    first = (
        await in_one_batch(house, "hold_change", [change(first, [[0, 1, [0, 12], False]], [])])
    )[0]
    back = change(first, [], [[0, 2, first.lines[0].seats[:4]]])
    more = [change(hold, [[0, 2, False, False]], []) for hold in others]
    requests = [more[0], back, more[1]] if searched_before else [back, more[1]]
    found = await in_one_batch(house, "hold_change", requests)
    assert found[-1].lines[0].seats[4:] == [0, 0, 0, 1]


async def test_a_change_that_is_undone_does_not_hide_what_the_next_one_gives_back(
    open_hall: Any, redis_client: Redis
) -> None:
    house = await open_hall({str(row): ".." for row in range(1, 8)})
    left = await house.hold([0, 1, [0, 0], False], [0, 1, [0, 15], False])
    right = await house.hold([0, 1, [0, 1], False], [0, 1, [0, 16], False])
    searched = await house.hold([0, 1, False, False], [0, 1, False, False])
    assert all(position > 1 for _, position in places(searched))  # the first row is known as full
    requests = [
        change(left, [[0, 3, False, False]], [[0, 1, [0, 0]]]),
        change(right, [], [[0, 1, [0, 1]]]),
    ]
    answers = await run_script(redis_client, "hold_change", house.place, pack(requests))
    assert [answer[0] for answer in answers] == [Code.LINES, Code.OK]
    assert places(await house.hold([0, 1, False, False])) == [(0, 1)]


async def test_only_so_many_rows_are_looked_at_for_a_place_that_strands_nobody(
    open_hall: Any,
) -> None:
    rows = {str(row): "..." for row in range(1, LOOK_AHEAD + 1)}
    house = await open_hall(rows | {str(LOOK_AHEAD + 1): "...."})
    requests = [acquire(2, False, False) for _ in range(2)]
    first, second = await in_one_batch(house, "hold_acquire", requests)
    assert {position // 4 for _, position in places(first)} == {0}
    assert {position // 4 for _, position in places(second)} == {LOOK_AHEAD}


class PlainSearch:
    """What the scripts should find, reckoned from the seats alone: every row, every time."""

    def __init__(self, snapshot: Snapshot, strings: list[bytes]) -> None:
        self.ranked = list(struct.iter_unpack(">HHHH", layout.lay_out(snapshot).ranks[0]))
        self.rows = [bytearray(string) for string in strings]

    def put(self, seats: list[int], state: bytes) -> None:
        for section, position in zip(seats[::2], seats[1::2], strict=True):
            self.rows[section][position : position + 1] = state

    def free(self, state: bytes = b".") -> list[list[int]]:
        return [
            [section, position]
            for section, start, length, _ in self.ranked
            for position in range(start, start + length)
            if self.rows[section][position : position + 1] == state
        ]

    def runs(self, at: int) -> list[tuple[int, int]]:
        section, start, length, _ = self.ranked[at]
        found = re.finditer(rb"\.+", self.rows[section][start : start + length])
        return [(start + run.start(), start + run.end()) for run in found]

    def together(self, n: int) -> list[int] | None:
        """The seats for n: nobody stranded, else in the first row; nearest to the middle of it."""
        places = []
        for at, (section, start, _, focus) in enumerate(self.ranked):
            middle = start + focus - (n - 1) / 2
            for first, stop in self.runs(at):
                for position in range(first, stop - n + 1):
                    strands = (position - first == 1) + (stop - position - n == 1)
                    far = abs(position - middle)
                    places.append((at, strands, far, position, section))
        if not places:
            return None
        first_at = places[0][0]
        _, _, _, position, section = min(
            (place for place in places if place[0] < first_at + LOOK_AHEAD),
            key=lambda place: (place[1], place[0], *place[2:]),
        )
        return [n for i in range(n) for n in (section, position + i)]

    async def assert_rooms(self, client: Redis, house: House) -> None:
        """A room that is too small would hide seats from sale."""
        rooms = await get(client, f"{house.place}:room:0") or b""
        assert len(rooms) == len(self.ranked)
        for at, room in enumerate(rooms):
            longest = max((stop - first for first, stop in self.runs(at)), default=0)
            assert room - ord("@") >= min(longest, 26)


class Crowd:
    """Buyers who do anything at once, and what a plain search says that they must get."""

    def __init__(self, house: House, seed: int) -> None:
        self.house = house
        self.dice = random.Random(seed)  # noqa: S311 - a test's dice
        self.plain = PlainSearch(
            house.snapshot, [s.seats for s in layout.lay_out(house.snapshot).sections]
        )
        self.holds: list[Hold] = []

    def lines(self) -> list[list[Any]]:
        dice = self.dice
        free = self.plain.free()
        choice = dice.random()
        if choice < 0.2 and free:  # one on the map, wherever
            return [[0, 1, dice.choice(free), False]]
        if choice < 0.35:  # two lines: when the second fails, the first is undone
            return [[0, dice.randint(1, 3), False, False], [0, dice.randint(2, 6), False, False]]
        return [[0, dice.randint(1, 5), False, dice.random() < 0.15]]

    async def buy(self) -> None:
        """Several requests at once: they meet in one batch, and are served in their order."""
        wanted = [self.lines() for _ in range(self.dice.randint(1, 8))]
        answers = await asyncio.gather(*[self.house.acquire(*lines) for lines in wanted])
        for lines, answer in zip(wanted, answers, strict=True):
            got = answer[0] == Code.OK
            before = [bytes(row) for row in self.plain.rows]
            taken = [
                pair
                for line in (msgspec.msgpack.decode(answer[1], type=Hold).lines if got else [])
                for pair in zip(line.seats[::2], line.seats[1::2], strict=True)
            ]
            if got:
                self.holds.append(msgspec.msgpack.decode(answer[1], type=Hold))
            for _, n, seats, split in lines:
                expected = seats if seats and seats in self.plain.free() else None
                if not seats:
                    expected = self.plain.together(n)
                if expected is None and split and len(self.plain.free()) >= n:
                    assert got
                    expected = [number for pair in taken for number in pair]
                    assert all([*pair] in self.plain.free() for pair in taken)
                if expected is None:
                    assert not got
                    self.plain.rows = [bytearray(row) for row in before]
                    break
                self.plain.put(expected, b"h")
                if got:
                    head, taken = taken[:n], taken[n:]
                    assert [number for pair in head for number in pair] == expected
            else:
                assert got

    async def change_minds(self) -> None:
        """Some give back a part of their seats, and want others instead; in one batch again."""
        house, dice = self.house, self.dice
        chosen = dice.sample(range(len(self.holds)), min(len(self.holds), 4))
        wanted = []
        for at in chosen:
            hold = self.holds[at]
            count = dice.randint(1, hold.lines[0].quantity)
            wanted.append((at, dice.randint(1, 6), hold.lines[0].seats[: count * 2]))
        answers = await asyncio.gather(
            *[
                house.commands.change(
                    house.place,
                    self.holds[at].buyer,
                    self.holds[at].id,
                    key(),
                    BODY,
                    [[0, n, False, False]],
                    [[0, len(back) // 2, back]],
                )
                for at, n, back in wanted
            ]
        )
        for (at, n, back), answer in zip(wanted, answers, strict=True):
            self.plain.put(back, b".")
            expected = self.plain.together(n)
            assert (answer[0] == Code.OK) == (expected is not None)
            if expected is None:
                self.plain.put(back, b"h")
                continue
            self.holds[at] = msgspec.msgpack.decode(answer[1], type=Hold)
            assert self.holds[at].lines[0].seats[-n * 2 :] == expected
            self.plain.put(expected, b"h")

    async def let_go(self) -> None:
        """Some holds are released, together."""
        self.dice.shuffle(self.holds)
        gone = [self.holds.pop() for _ in range(min(self.dice.randint(0, 6), len(self.holds)))]
        release = self.house.commands.release
        await asyncio.gather(*[release(self.house.place, h.buyer, h.id) for h in gone])
        for hold in gone:
            for line in hold.lines:
                self.plain.put(line.seats, b".")

    async def set_aside(self) -> None:
        """A seat is blocked, or a blocked one comes back."""
        state, after = self.dice.choice([(b".", b"x"), (b"x", b".")])
        seats = self.plain.free(state)
        if seats:
            chosen = self.dice.choice(seats)
            command = self.house.commands.block if after == b"x" else self.house.commands.unblock
            assert await command(self.house.place, chosen) == [Code.OK]
            self.plain.put(chosen, after)


@pytest.mark.parametrize("seed", range(10))
async def test_best_available_finds_what_a_plain_search_finds(
    open_hall: Any, redis_client: Redis, seed: int
) -> None:
    sections = 1 + seed % 2
    kinds = ("." * 7, "...w....", "." * 9)
    rows = {str(row): kinds[row % 3] for row in range(1, 40 // sections + 1)}
    house = await open_hall(rows, sections=sections)
    crowd = Crowd(house, seed)
    for _ in range(40):
        await crowd.buy()
        await crowd.change_minds()
        if crowd.dice.random() < 0.6:
            await crowd.let_go()
        await crowd.set_aside()
        strings = await inspection.read_seats(redis_client, SHARD, house.snapshot.occurrence)
        assert strings == [bytes(row) for row in crowd.plain.rows]
        await crowd.plain.assert_rooms(redis_client, house)


async def test_best_available_goes_on_after_a_restoration(
    open_hall: Any, redis_client: Redis
) -> None:
    house = await open_hall({str(row): "." * 7 for row in range(1, 9)}, sections=2)
    crowd = Crowd(house, 1)
    for _ in range(4):
        await crowd.buy()
    await restoration.restore(
        redis_client,
        house.snapshot,
        SHARD,
        orders=no_orders(),
        holds=crowd.holds,
        sequence=0,
        version=2,
    )
    for _ in range(6):
        await crowd.let_go()
        await crowd.buy()
        await crowd.plain.assert_rooms(redis_client, house)


async def no_orders() -> AsyncIterator[Order]:
    orders: list[Order] = []
    for order in orders:
        yield order
