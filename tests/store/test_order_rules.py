"""The rules of one order hold for what is in a hold after every change, and at checkout."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from engine.core.ids import new_id
from engine.platform.valkey.batcher import Batcher
from engine.platform.valkey.codes import Code, LineCode
from engine.sale.commands import Commands
from engine.sale.documents import Hold, Line
from engine.sale.inventory import publication
from engine.sale.inventory.snapshot import Quota, Snapshot, TicketType, Tier
from tests.houses import STALLS, small_house
from tests.store.conftest import BODY, SHARD, House, key

PAIRS, GROUP, SINGLE = range(3)
ONLY = (Tier(code="only", name="Only", price=1000),)


def rules_house(occurrence: str | None = None, *, group_min: int = 3, **changes: Any) -> Snapshot:
    """Seats from 2 to 4, groups of 3 to 5 (5 a buyer), single places up to 6; 8 an order."""
    pairs = TicketType(
        code="pairs",
        name="Pairs",
        kind="seat",
        category=STALLS,
        min_per_order=2,
        max_per_order=4,
        tiers=ONLY,
    )
    group = TicketType(
        code="group",
        name="Group",
        kind="general",
        quotas=(0,),
        min_per_order=group_min,
        max_per_order=max(5, group_min),
        max_per_buyer=5,
        tiers=ONLY,
    )
    single = TicketType(
        code="single", name="Single", kind="general", quotas=(0,), max_per_order=6, tiers=ONLY
    )
    values: dict[str, Any] = {
        "quotas": (Quota(code="floor", name="Floor", capacity=500),),
        "ticket_types": (pairs, group, single),
        "max_per_order": 8,
        "max_per_buyer": 10,
        **changes,
    }
    return small_house(occurrence, **values)


@pytest.fixture
async def rules(redis_client: Redis, commands: Commands) -> Any:
    snapshot = rules_house()
    await publication.publish(redis_client, snapshot, shard=SHARD)
    found = House(redis_client, commands, snapshot)
    yield found
    await found.assert_conserved()


def row(*positions: int) -> list[int]:
    return [number for position in positions for number in (0, position)]


def group(n: int) -> list[Any]:
    return [GROUP, n, False, False]


def single(n: int) -> list[Any]:
    return [SINGLE, n, False, False]


async def change(house: House, hold: Hold, add: list[Any], remove: list[Any]) -> list[Any]:
    return await house.commands.change(
        house.place, hold.buyer, hold.id, b"", BODY, add, [line[:3] for line in remove]
    )


async def held(house: House, hold: Hold) -> Hold:
    answer = await house.commands.read(house.place, "h", hold.id, hold.buyer)
    assert answer[0] == Code.OK, answer
    return msgspec.msgpack.decode(answer[1], type=Hold)


SEATS = [PAIRS, 3, row(0, 1, 2), False]


@pytest.mark.parametrize(
    ("begin", "add", "remove", "failures"),
    [
        ([group(3)], [], [group(1)], [[0, LineCode.MIN, 3]]),
        ([group(3), single(1)], [], [group(2)], [[0, LineCode.MIN, 3]]),
        ([group(3)], [single(2)], [group(1)], [[1, LineCode.MIN, 3]]),
        ([group(3)], [group(1)], [group(2)], [[0, LineCode.MIN, 3], [1, LineCode.MIN, 3]]),
        ([group(5)], [], [group(1), group(2)], [[0, LineCode.MIN, 3], [1, LineCode.MIN, 3]]),
        ([group(5)], [], [group(1), single(1)], [[1, LineCode.NOT_HELD]]),
        ([SEATS], [], [[PAIRS, 2, row(0, 1)]], [[0, LineCode.MIN, 2]]),
        (
            [SEATS],
            [[PAIRS, 1, row(3), False]],
            [[PAIRS, 3, row(0, 1, 2)]],
            [[0, 26, 2], [1, 26, 2]],
        ),
        ([SEATS, single(1)], [single(1)], [[PAIRS, 2, row(1, 2)]], [[1, LineCode.MIN, 2]]),
        ([single(1)], [group(2)], [], [[0, LineCode.MIN, 3]]),
        ([single(1)], [group(1), group(1)], [], [[0, LineCode.MIN, 3], [1, LineCode.MIN, 3]]),
        ([group(3)], [group(3)], [], [[0, LineCode.MAX, 5]]),
        ([group(3), single(5)], [single(1)], [], [[0, LineCode.ORDER_MAX, 8]]),
    ],
)
async def test_a_change_that_would_break_a_rule_is_refused_by_its_lines(
    rules: House, begin: list[Any], add: list[Any], remove: list[Any], failures: list[Any]
) -> None:
    hold = await rules.hold(*begin)
    assert await change(rules, hold, add, remove) == [Code.LINES, failures]
    assert await held(rules, hold) == hold
    assert await change(rules, hold, add, remove) == [Code.LINES, failures]  # nothing was moved


@pytest.mark.parametrize(
    ("begin", "add", "remove", "left"),
    [
        ([group(3), single(1)], [], [group(3)], {SINGLE: 1}),
        ([group(5)], [], [group(1), group(1)], {GROUP: 3}),
        ([group(5)], [group(2)], [group(4)], {GROUP: 3}),
        ([group(3)], [group(3)], [group(3)], {GROUP: 3}),
        ([group(3)], [single(1)], [group(3)], {SINGLE: 1}),
        ([single(1)], [group(1), group(2)], [], {SINGLE: 1, GROUP: 3}),
        ([SEATS], [], [[PAIRS, 1, row(1)]], {PAIRS: 2}),
        ([SEATS], [[PAIRS, 2, row(0, 3), False]], [[PAIRS, 2, row(0, 1)]], {PAIRS: 3}),
        ([SEATS], [single(1)], [[PAIRS, 3, row(0, 1, 2)]], {SINGLE: 1}),
    ],
)
async def test_what_remains_may_have_the_minimum_or_nothing_of_a_type(
    rules: House, begin: list[Any], add: list[Any], remove: list[Any], left: dict[int, int]
) -> None:
    hold = await rules.hold(*begin)
    assert (await change(rules, hold, add, remove))[0] == Code.OK
    found: dict[int, int] = {}
    for line in (await held(rules, hold)).lines:
        found[line.type] = found.get(line.type, 0) + line.quantity
    assert found == left


@pytest.mark.parametrize("begin", [[group(3)], [SEATS], [SEATS, single(2)]])
async def test_a_change_that_would_leave_nothing_changes_nothing(
    rules: House, begin: list[Any]
) -> None:
    hold = await rules.hold(*begin)
    before = await rules.client.get(f"{rules.place}:stock")
    seats = await rules.client.get(f"{rules.place}:seats:0")
    everything = [[kind, n, seats or False] for kind, n, seats, _ in begin]
    assert await change(rules, hold, [], everything) == [Code.HOLD_EMPTY]
    assert await held(rules, hold) == hold
    assert await rules.client.get(f"{rules.place}:stock") == before
    assert await rules.client.get(f"{rules.place}:seats:0") == seats
    answer = await rules.acquire(single(6), buyer=new_id())
    assert answer[0] == Code.OK
    order = await rules.order(hold)  # its tickets are counted once
    assert order.state == "pending"


async def test_a_repeated_change_is_told_what_it_was_told_whatever_the_rules_say_now(
    rules: House,
) -> None:
    hold, used = await rules.hold(group(4)), key()
    arguments: Any = (rules.place, hold.buyer, hold.id, used, BODY, [], [[GROUP, 1, False]])
    first = await rules.commands.change(*arguments)
    assert first[0] == Code.OK
    await republish(rules, group_min=4)
    assert (await rules.commands.change(*arguments))[:2] == first[:2]


async def republish(house: House, **changes: Any) -> None:
    edit = rules_house(house.snapshot.occurrence, **changes)
    await publication.republish(house.client, edit)


@pytest.mark.parametrize(
    ("changes", "failures"),
    [
        ({"group_min": 4}, [[0, LineCode.MIN, 4]]),
        ({"max_per_order": 4}, [[1, LineCode.ORDER_MAX, 4]]),
        ({"max_per_buyer": 4}, [[0, LineCode.BUYER_MAX, 4], [1, LineCode.BUYER_MAX, 4]]),
    ],
)
async def test_checkout_asks_the_rules_that_are_in_force_and_keeps_the_prices(
    rules: House, changes: dict[str, Any], failures: list[Any]
) -> None:
    hold = await rules.hold(group(3), single(2))
    await republish(rules, **changes)
    assert await rules.try_order(hold) == [Code.LINES, failures]
    assert await held(rules, hold) == hold
    await republish(rules)
    assert (await rules.order(hold)).lines == hold.lines


async def test_under_new_rules_a_hold_can_still_be_mended(rules: House) -> None:
    hold = await rules.hold(group(3), single(2))
    await republish(rules, group_min=4)
    assert (await change(rules, hold, [], [single(1)]))[0] == Code.OK  # not of the type
    assert await change(rules, hold, [single(1)], [group(1)]) == [Code.LINES, [[1, 26, 4]]]
    assert (await change(rules, hold, [group(1)], []))[0] == Code.OK
    assert (await rules.order(await held(rules, hold))).state == "pending"


QUANTITIES = st.tuples(st.sampled_from([GROUP, SINGLE]), st.integers(1, 6))
LINES = st.lists(QUANTITIES, min_size=0, max_size=3)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("acquire"), LINES.filter(bool)),
        st.tuples(st.just("change"), LINES, LINES),
        st.tuples(st.just("extend")),
        st.tuples(st.just("release")),
        st.tuples(st.just("order")),
    ),
    max_size=12,
)
MINIMUM, MAXIMUM = {GROUP: 3, SINGLE: 1}, {GROUP: 5, SINGLE: 6}


def quantities(lines: list[Line]) -> dict[int, int]:
    found = {GROUP: 0, SINGLE: 0}
    for line in lines:
        found[line.type] += line.quantity
    return found


class Model:
    """What one buyer has, and what the rules say of a step."""

    def __init__(self) -> None:
        self.hold: Hold | None = None
        self.has = quantities([])
        self.bought = quantities([])

    def end(self) -> None:
        self.hold, self.has = None, quantities([])

    def take(self, answer: list[Any], expected: tuple[Code, dict[int, int]]) -> None:
        """Check an answer, and have what it gives."""
        assert answer[0] == expected[0], (answer, expected, self.has)
        if answer[0] == Code.OK:
            self.hold = msgspec.msgpack.decode(answer[1], type=Hold)
            self.has = expected[1]

    def after(self, add: list[Any], remove: list[Any]) -> tuple[Code, dict[int, int]]:
        """What a request is answered, and what the buyer would have."""
        has = dict(self.has)
        for kind, n in remove:
            if has[kind] < n:
                return Code.LINES, has
            has[kind] -= n
        for kind, n in add:
            has[kind] += n
        if add and self._above(has, {kind for kind, _ in add}):
            return Code.LINES, has
        if any(0 < has[kind] < MINIMUM[kind] for kind in has):
            return Code.LINES, has
        return (Code.OK if any(has.values()) else Code.HOLD_EMPTY), has

    def _above(self, has: dict[int, int], added: set[int]) -> bool:
        return (
            any(has[kind] > MAXIMUM[kind] for kind in added)
            or sum(has.values()) > 8
            or (GROUP in added and has[GROUP] + self.bought[GROUP] > 5)
            or sum(has.values()) + sum(self.bought.values()) > 10
        )


@pytest.mark.timeout(300)
def test_whatever_is_done_in_whatever_order_the_rules_hold(valkey_url: str) -> None:
    @settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
    @given(STEPS)
    def run(steps: list[Any]) -> None:
        asyncio.run(_play(f"{valkey_url}/0", steps))

    run()


async def _play(url: str, steps: list[Any]) -> None:
    batcher = Batcher(url)
    async with Redis.from_url(url) as client:
        await client.flushall()
        snapshot = rules_house()
        await publication.publish(client, snapshot, shard=SHARD)
        await batcher.start()
        try:
            await _steps(House(client, Commands(batcher, batcher), snapshot), steps)
        finally:
            await batcher.stop()


async def _steps(house: House, steps: list[Any]) -> None:
    model, buyer = Model(), new_id()
    for name, *parts in steps:
        lines = [[[kind, n, False, False] for kind, n in part] for part in parts]
        if name == "acquire":
            answer = await house.acquire(*lines[0], buyer=buyer)
            if model.hold is None:
                model.take(answer, model.after(parts[0], []))
            else:
                assert answer[0] == Code.HOLD_EXISTS
        elif model.hold is not None:
            await _step(house, model, name, parts, lines)
        await house.assert_conserved()
        if model.hold is not None:
            assert quantities((await held(house, model.hold)).lines) == model.has


async def _step(house: House, model: Model, name: str, parts: list[Any], lines: list[Any]) -> None:
    hold = model.hold
    assert hold is not None
    if name == "change":
        model.take(await change(house, hold, *lines), model.after(*parts))
    elif name == "extend":
        answer = await house.commands.extend(house.place, hold.buyer, hold.id, key(), BODY)
        model.take(answer, (Code.OK, model.has))
    elif name == "release":
        await house.commands.release(house.place, hold.buyer, hold.id)
        model.end()
    else:
        order = await house.order(hold)
        for kind, n in quantities(order.lines).items():
            model.bought[kind] += n
        model.end()
