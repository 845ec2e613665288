"""What is told of the stock is what a hold gets: the scripts against engine/sale/stock.py."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from engine.core.documents import Hold
from engine.core.snapshot import Category, Quota, Row, SeatKind, Section, Snapshot, TicketType, Tier
from engine.sale import stock
from engine.sale.occurrences import Published
from engine.sale.stock_reading import read
from engine.store import layout, publication
from engine.store.codes import Code, LineCode
from engine.store.commands import Commands
from engine.store.inspection import read_seats
from tests.houses import seat, small_house
from tests.store.conftest import SHARD, House

HOUR = 3_600_000  # no window opens or closes while a test runs
NEVER = 4_000_000_000_000
Kinds = tuple[TicketType, ...]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def windows(now: int) -> dict[str, dict[str, Any]]:
    return {
        "always": {},
        "open": {"starts_at": now - HOUR, "ends_at": now + HOUR},
        "not yet": {"starts_at": now + HOUR},
        "later still": {"starts_at": now + 2 * HOUR},
        "ended": {"ends_at": now - HOUR},
    }


def tier(code: str, price: int, window: str, capacity: int | None = None) -> Tier:
    return Tier(code=code, name=code, price=price, capacity=capacity, **windows(now_ms())[window])


def standing(
    *tiers: Tier, code: str = "standing", quotas: tuple[int, ...] = (0,), **limits: Any
) -> TicketType:
    return TicketType(code=code, name=code, kind="general", quotas=quotas, tiers=tiers, **limits)


def seated(
    *tiers: Tier, code: str = "seated", quotas: tuple[int, ...] = (), **limits: Any
) -> TicketType:
    return TicketType(
        code=code, name=code, kind="seat", category=0, quotas=quotas, tiers=tiers, **limits
    )


def house_of(
    *kinds: TicketType, row: str = "....", capacities: tuple[int, ...] = (10, 10), **changes: Any
) -> Snapshot:
    """Standing places and a row of seats: '.' a seat, 'w' a wheelchair place, 'x' one set aside."""
    names: dict[str, SeatKind] = {"w": "wheelchair"}
    seats = [seat("A", 1, i, 0, names.get(kind, "standard")) for i, kind in enumerate(row)]

    return small_house(
        categories=(Category(name="All"),),
        quotas=tuple(
            Quota(code=f"q{i}", name=f"q{i}", capacity=n) for i, n in enumerate(capacities)
        ),
        ticket_types=kinds,
        sections=(
            Section(
                name="A",
                rows=(
                    Row(
                        name="1",
                        seats=tuple(
                            replace(one, blocked=kind == "x")
                            for one, kind in zip(seats, row, strict=True)
                        ),
                    ),
                ),
            ),
        ),
        **{"max_per_order": 12, **changes},
    )


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


async def told(house: House) -> list[stock.TypeStock]:
    reading = await read(house.client, Published(house.snapshot, SHARD, 1))
    return stock.of_all(house.snapshot, reading.free, now_ms(), paused=reading.paused)


async def free_of(house: House) -> dict[str, int]:
    return (await read(house.client, Published(house.snapshot, SHARD, 1))).free


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


REGULAR = tier("regular", 40, "always")
# name: (types, changes of the house, state, free, price, opens later)
TABLE: dict[str, tuple[TicketType, dict[str, Any], str, int, int | None, bool]] = {
    "open": (standing(REGULAR), {}, "available", 10, 40, False),
    "type not yet": (
        standing(REGULAR, sale_starts_at=now_ms() + HOUR),
        {},
        "not_yet",
        0,
        None,
        True,
    ),
    "type ended": (standing(REGULAR, sale_ends_at=now_ms() - HOUR), {}, "ended", 0, None, False),
    "sale not yet": (
        standing(REGULAR),
        {"sale_starts_at": now_ms() + HOUR},
        "not_yet",
        0,
        None,
        True,
    ),
    "sale ended": (standing(REGULAR), {"sale_ends_at": now_ms() - HOUR}, "ended", 0, None, False),
    "tier not yet": (standing(tier("a", 20, "not yet")), {}, "not_yet", 0, None, True),
    "first tier not yet": (
        standing(tier("a", 20, "not yet"), REGULAR),
        {},
        "available",
        10,
        40,
        False,
    ),
    "first tier ended": (standing(tier("a", 20, "ended"), REGULAR), {}, "available", 10, 40, False),
    "all tiers ended": (standing(tier("a", 20, "ended")), {}, "ended", 0, None, False),
    "between two tiers": (
        standing(tier("a", 20, "ended"), tier("b", 30, "not yet")),
        {},
        "gap",
        0,
        None,
        True,
    ),
    "limited": (standing(tier("a", 20, "open", 3)), {}, "available", 3, 20, False),
    "limited, then another": (
        standing(tier("a", 20, "open", 3), tier("b", 30, "open", 4)),
        {},
        "available",
        7,
        20,
        False,
    ),
    "limited, then as many as there are": (
        standing(tier("a", 20, "open", 3), REGULAR),
        {},
        "available",
        10,
        20,
        False,
    ),
    "limited below the minimum": (
        standing(tier("a", 20, "open", 1), min_per_order=2),
        {},
        "sold_out",
        0,
        None,
        False,
    ),
    "limited below the minimum, then another": (
        standing(tier("a", 20, "open", 1), tier("b", 30, "open", 1), min_per_order=2),
        {},
        "available",
        2,
        20,
        False,
    ),
    "the minimum at the next tier": (
        standing(tier("a", 20, "open", 1), REGULAR, min_per_order=2),
        {},
        "available",
        10,
        40,
        False,
    ),
    "minimum above the rest": (
        standing(REGULAR, min_per_order=4),
        {"capacities": (3, 10)},
        "sold_out",
        0,
        None,
        False,
    ),
    "minimum above the rest, the next tier still to come": (
        standing(tier("a", 20, "open", 1), tier("b", 30, "not yet"), min_per_order=2),
        {},
        "gap",
        0,
        None,
        True,
    ),
    "minimum above the limit of an order": (
        standing(REGULAR, min_per_order=4),
        {"max_per_order": 3},
        "unavailable",
        0,
        None,
        False,
    ),
    "minimum above the limit of a buyer": (
        standing(REGULAR, min_per_order=4, max_per_buyer=3),
        {},
        "unavailable",
        0,
        None,
        False,
    ),
    "maximum": (standing(REGULAR, max_per_order=2), {}, "available", 10, 40, False),
    "two quotas": (
        standing(REGULAR, quotas=(0, 1)),
        {"capacities": (10, 2)},
        "available",
        2,
        40,
        False,
    ),
    "nothing of a quota": (
        standing(REGULAR, quotas=(0, 1)),
        {"capacities": (10, 0)},
        "sold_out",
        0,
        None,
        False,
    ),
    "nothing of a quota, a tier to come": (
        standing(tier("a", 20, "ended"), tier("b", 30, "not yet"), quotas=(1,)),
        {"capacities": (10, 0)},
        "sold_out",
        0,
        None,
        False,
    ),
    "seats": (seated(REGULAR), {}, "available", 4, 40, False),
    "seats set aside": (seated(REGULAR), {"row": "x..x"}, "available", 2, 40, False),
    "all seats set aside": (seated(REGULAR), {"row": "xx"}, "sold_out", 0, None, False),
    "seats and wheelchair places": (seated(REGULAR), {"row": "w..w"}, "available", 2, 40, False),
    "wheelchair places alone": (seated(REGULAR), {"row": "ww"}, "available", 2, 40, False),
    "only wheelchair places left": (
        seated(REGULAR),
        {"row": "wxxw"},
        "on_map_only",
        0,
        40,
        False,
    ),
    "below the minimum without wheelchair places": (
        seated(REGULAR, min_per_order=3),
        {"row": "w..w"},
        "on_map_only",
        0,
        40,
        False,
    ),
    "seats at limited tiers": (
        seated(tier("a", 20, "open", 3), tier("b", 30, "open", 9)),
        {"row": "......"},
        "available",
        6,
        20,
        False,
    ),
    "seats with a quota": (
        seated(REGULAR, quotas=(0,)),
        {"capacities": (3, 1)},
        "available",
        3,
        40,
        False,
    ),
}


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
