"""The line: who has which place, who is called, who is inside."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import time
from collections.abc import AsyncIterator

import msgspec
import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from engine.core.ids import new_id
from engine.platform.valkey import keys
from engine.platform.valkey.codes import Code
from engine.platform.valkey.connections import run_script
from engine.platform.valkey.packing import pack
from engine.queue.draw import numbers as draw
from engine.sale.commands import Commands
from engine.sale.documents import Order
from engine.sale.inventory import publication, restoration
from engine.sale.inventory.snapshot import Room
from tests.houses import small_house
from tests.store.conftest import SHARD, House
from tests.store.line import Line

SEATS = [[0, 1, False, False]]
HOUR_MS = 3_600_000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def make_line(redis_client: Redis, commands: Commands, **room: int | bool) -> Line:
    """A line whose pre-queue is open and that opens in a quarter of an hour, fast unless told."""
    values: dict[str, int | bool] = {
        "opens_at": now_ms() + HOUR_MS // 4,
        "rate": 1_000_000,
        "rate_ms": 1_000,
        **room,
    }
    snapshot = small_house(room=Room(**values))  # type: ignore[arg-type]  # of each its own kind
    await publication.publish(redis_client, snapshot, shard=SHARD)
    return Line(House(redis_client, commands, snapshot))


@pytest.fixture
async def line(redis_client: Redis, commands: Commands) -> AsyncIterator[Line]:
    made = await make_line(redis_client, commands)
    yield made
    await made.house.assert_conserved()


async def in_order(line: Line, buyers: list[str]) -> list[str]:
    numbers = {buyer: await line.number(buyer) for buyer in buyers}
    return sorted(buyers, key=lambda buyer: numbers[buyer])


async def test_a_buyer_has_one_place_however_often_he_joins(line: Line) -> None:
    buyer = new_id()
    first, *others = await asyncio.gather(*(line.try_join(buyer) for _ in range(50)))
    assert first == [Code.OK, 0, -1, 0]
    assert all(other == first for other in others)
    assert (await line.state()).queue.count == 1


async def test_many_who_join_at_once_get_each_a_place_of_his_own(line: Line) -> None:
    buyers = [new_id() for _ in range(500)]
    answers = await asyncio.gather(*(line.try_join(buyer) for buyer in buyers))
    assert sorted(answer[1] for answer in answers) == list(range(500))


async def test_the_roster_has_the_leaf_of_each_place(line: Line) -> None:
    buyers = [await line.join() for _ in range(3)]
    expected = b"".join(draw.leaf(line.occurrence, buyer) for buyer in buyers)
    assert await line.roster(3) == expected


async def test_joining_too_early_says_when(redis_client: Redis, commands: Commands) -> None:
    line = await make_line(redis_client, commands, opens_at=now_ms() + HOUR_MS)
    code, why, ms = await line.try_join(new_id())
    assert (code, why) == (Code.QUEUE_CLOSED, b"early")
    assert HOUR_MS / 2 - 60_000 < ms <= HOUR_MS / 2


async def test_without_a_room_there_is_no_line(house: House) -> None:
    line = Line(house)
    assert await line.try_join(new_id()) == [Code.QUEUE_CLOSED, b"off", 0]
    await house.hold([0, 1, False, False])


async def test_the_draw_gives_everybody_another_number(line: Line) -> None:
    buyers = [await line.join() for _ in range(40)]
    await line.open()
    numbers = [await line.number(buyer) for buyer in buyers]
    assert sorted(numbers) == list(range(1, 41))
    assert numbers != sorted(numbers)


async def test_who_joins_after_the_opening_follows_in_order(line: Line) -> None:
    for _ in range(5):
        await line.join()
    await line.open()
    late = [await line.join() for _ in range(4)]
    assert [await line.number(buyer) for buyer in late] == [6, 7, 8, 9]


async def test_the_opening_is_the_stores_moment_whoever_asks_first(
    redis_client: Redis, commands: Commands
) -> None:
    line = await make_line(redis_client, commands, opens_at=now_ms() - 1)
    answer = await line.try_join(new_id())
    assert answer == [Code.OK, 0, 0, 0]  # drawn: the roster was closed before this one
    assert [kind for kind, _ in await line.records()] == ["queue.closed_roster"]


async def test_the_draw_is_made_once_and_only_of_a_closed_roster(line: Line) -> None:
    await line.join()
    draws = line.house.commands.queue_draw
    assert await draws(line.house.place, "0" * 64, 1) == [Code.CONFLICT, -1]
    await line.command("open")
    assert await draws(line.house.place, "0" * 64, 2) == [Code.CONFLICT, 1]
    assert await draws(line.house.place, "0" * 64, 1) == [Code.OK, b"0" * 64]
    assert await draws(line.house.place, "1" * 64, 1) == [Code.OK, b"0" * 64]


async def test_nobody_is_called_before_the_draw(line: Line) -> None:
    await line.join()
    await line.command("open")
    answer = await line.house.commands.queue_call(line.house.place, 1, 0, [0], 1, 10**9)
    assert answer == [Code.OK, 0, 0, 0, 0]


async def test_only_who_is_called_can_enter_and_only_who_is_inside_can_hold(line: Line) -> None:
    buyers = [await line.join() for _ in range(3)]
    await line.open()
    first, second, third = await in_order(line, buyers)
    assert (await line.house.acquire(*SEATS, buyer=first)) == [Code.NOT_INSIDE]
    assert await line.try_enter(first) == [Code.NOT_CALLED]
    assert await line.call(allowed=2) == 2
    assert (await line.house.acquire(*SEATS, buyer=first)) == [Code.NOT_INSIDE]
    await line.enter(first)
    await line.house.hold(*SEATS, buyer=first)
    assert (await line.house.acquire(*SEATS, buyer=second)) == [Code.NOT_INSIDE]
    assert await line.try_enter(third) == [Code.NOT_CALLED]
    assert (await line.house.acquire(*SEATS, buyer=third)) == [Code.NOT_INSIDE]
    assert (await line.house.acquire(*SEATS, buyer=new_id())) == [Code.NOT_INSIDE]


async def test_another_buyers_number_is_of_no_use(line: Line) -> None:
    first, second = await line.join(), await line.join()
    await line.open()
    await line.call()
    enter = line.house.commands.queue_enter
    index, number = await line.index(first), await line.number(first)
    assert await enter(line.house.place, second, index, number) == [Code.NO_PLACE]
    assert await enter(line.house.place, new_id(), index, number) == [Code.NO_PLACE]


async def test_entering_twice_is_entering_once(line: Line) -> None:
    buyer = await line.join()
    await line.open()
    await line.call()
    answers = await asyncio.gather(*(line.try_enter(buyer) for _ in range(20)))
    assert {answer[0] for answer in answers} == {Code.OK}
    assert len({answer[1] for answer in answers}) == 1
    assert (await line.state()).queue.inside == 1
    assert [kind for kind, _ in await line.records()].count("queue.entered") == 1


async def test_an_order_uses_the_pass_up(line: Line) -> None:
    buyer = await line.join()
    await line.open()
    await line.call()
    await line.enter(buyer)
    await line.house.order(await line.house.hold(*SEATS, buyer=buyer))
    assert (await line.house.acquire(*SEATS, buyer=buyer)) == [Code.NOT_INSIDE]
    assert await line.try_enter(buyer) == [Code.PLACE_EXPIRED, b"done"]
    queue = (await line.state()).queue
    assert (queue.inside, queue.done) == (0, 1)


async def test_a_pass_ends_with_its_time(line: Line) -> None:
    buyer = await line.join()
    await line.open()
    await line.call()
    await line.enter(buyer)
    await line.house.advance(600_000)
    assert (await line.house.acquire(*SEATS, buyer=buyer)) == [Code.NOT_INSIDE]
    await line.house.sweep()
    assert (await line.state()).queue.inside == 0
    assert await line.try_enter(buyer) == [Code.PLACE_EXPIRED, b"expired"]


async def test_who_holds_seats_is_inside_until_the_hold_ends(line: Line) -> None:
    buyer = await line.join()
    await line.open()
    await line.call()
    await line.enter(buyer)
    await line.house.advance(500_000)
    hold = await line.house.hold(*SEATS, buyer=buyer)
    await line.house.advance(150_000)  # beyond the pass, within the hold
    await line.house.sweep()
    assert (await line.state()).queue.inside == 1
    await line.house.commands.release(line.house.place, buyer, hold.id)
    assert (await line.state()).queue.inside == 0
    assert (await line.house.acquire(*SEATS, buyer=buyer)) == [Code.NOT_INSIDE]


async def test_a_released_hold_leaves_the_pass_its_time(line: Line) -> None:
    buyer = await line.join()
    await line.open()
    await line.call()
    await line.enter(buyer)
    hold = await line.house.hold(*SEATS, buyer=buyer)
    await line.house.commands.release(line.house.place, buyer, hold.id)
    await line.house.hold(*SEATS, buyer=buyer)


async def test_never_more_are_inside_or_called_than_the_cap(
    redis_client: Redis, commands: Commands
) -> None:
    line = await make_line(redis_client, commands, cap=5)
    buyers = [await line.join() for _ in range(20)]
    await line.open()
    ordered = await in_order(line, buyers)
    assert await line.call() == 5
    assert await line.call() == 0
    for buyer in ordered[:5]:
        await line.enter(buyer)
    assert await line.call() == 0
    await line.leave(ordered[0])
    assert await line.call() == 1
    state = await line.state()
    assert state.queue.inside + state.called == 5


async def test_no_shows_free_their_room(redis_client: Redis, commands: Commands) -> None:
    line = await make_line(redis_client, commands, cap=3)
    for _ in range(9):
        await line.join()
    await line.open()
    for _ in range(3):
        assert await line.call() == 3
        await line.house.advance(120_000 + (await line.state()).queue.served)
    assert await line.call() == 0
    state = await line.state()
    assert (state.queue.served, state.queue.no_shows, state.called) == (9, 9, 0)


async def test_who_comes_too_late_has_to_join_again(line: Line) -> None:
    buyer = await line.join()
    await line.open()
    await line.call()
    await line.house.advance(120_000)
    assert await line.try_enter(buyer) == [Code.PLACE_EXPIRED, b"no_show"]
    index = await line.index(buyer)
    assert (await line.try_join(buyer))[1] == index  # not replaced without being over
    assert (await line.try_join(buyer, over=index))[1] == 1
    assert await line.number(buyer) == 2


async def test_who_is_inside_cannot_take_a_second_place(line: Line) -> None:
    buyer = await line.join()
    await line.open()
    await line.call()
    await line.enter(buyer)
    index = await line.index(buyer)
    assert (await line.try_join(buyer, over=index))[1] == index


async def test_the_rate_is_kept_whoever_calls(redis_client: Redis, commands: Commands) -> None:
    line = await make_line(redis_client, commands, rate=10, rate_ms=1_000)
    for _ in range(60):
        await line.join()
    await line.open()
    assert await line.call() == 1  # the first at once
    before = (await line.state()).now_ms
    called = 1
    for _ in range(20):
        await line.house.advance(100 * called)
        called += await line.call()
        passed = (await line.state()).now_ms - before
        assert called <= 1 + passed / 100 + 1
    assert called > 15


async def test_after_a_standstill_no_crowd_is_called(
    redis_client: Redis, commands: Commands
) -> None:
    line = await make_line(redis_client, commands, rate=10, rate_ms=1_000)
    for _ in range(60):
        await line.join()
    await line.open()
    await line.call()
    await line.house.advance(60_000)
    assert await line.call() == 10  # a second's worth


async def test_places_given_up_are_passed_over(line: Line) -> None:
    early = [await line.join() for _ in range(4)]
    await line.leave(early[1])  # before the draw
    await line.open()
    late = [await line.join() for _ in range(4)]
    await line.leave(late[0])  # after it
    await line.leave(early[2])
    assert await line.call() == 5
    state = await line.state()
    assert (state.queue.served, state.called, state.queue.gone) == (8, 5, 3)
    called = [record for kind, record in await line.records() if kind == "queue.called"]
    assert [(record.first, record.last, record.empty) for record in called] == [(1, 8, 3)]


async def test_leaving_after_the_draw_leaves_the_roster_as_evidence(line: Line) -> None:
    buyers = [await line.join() for _ in range(4)]
    await line.open()
    before = await line.roster(4)
    await line.leave(buyers[2])
    assert await line.roster(4) == before


async def test_who_leaves_while_called_frees_his_room(
    redis_client: Redis, commands: Commands
) -> None:
    line = await make_line(redis_client, commands, cap=1)
    buyers = [await line.join() for _ in range(2)]
    await line.open()
    first, second = await in_order(line, buyers)
    assert await line.call() == 1
    await line.leave(first)
    assert await line.call() == 1
    await line.enter(second)


async def test_a_pause_freezes_passes_claims_and_calls(line: Line) -> None:
    buyers = [await line.join() for _ in range(3)]
    await line.open()
    first, second, _ = await in_order(line, buyers)
    await line.call(allowed=2)
    await line.enter(first)
    await line.house.commands.pause(line.house.place, "ada")
    frozen, wall = (await line.state()).now_ms, (await line.state()).wall_ms
    while (await line.state()).wall_ms < wall + 20:
        pass
    assert await line.call() == 0
    assert (await line.house.acquire(*SEATS, buyer=first)) == [Code.PAUSED]
    assert (await line.state()).now_ms == frozen
    await line.house.commands.resume(line.house.place, "ada")
    await line.enter(second)
    await line.house.hold(*SEATS, buyer=first)
    commands = [record.command for kind, record in await line.records() if kind == "queue.command"]
    assert commands == ["open", "pause", "resume"]


async def test_an_older_leader_is_refused(line: Line) -> None:
    for _ in range(3):
        await line.join()
    await line.open()
    line.fence = 2
    assert await line.call(allowed=1) == 1
    line.fence = 1
    assert await line.try_call() == [Code.FENCED, 2]


async def test_two_leaders_call_nobody_twice(line: Line) -> None:
    for _ in range(100):
        await line.join()
    await line.open()
    await asyncio.gather(*(line.try_call(allowed=10) for _ in range(20)))
    called = [record for kind, record in await line.records() if kind == "queue.called"]
    ends = [(record.first, record.last) for record in called]
    assert ends[0][0] == 1
    assert all(last + 1 == first for (_, last), (first, _) in itertools.pairwise(ends))
    assert (await line.state()).queue.served == ends[-1][1]


async def test_a_call_from_another_start_is_told_the_true_one(line: Line) -> None:
    await line.join()
    await line.open()
    await line.call()
    answer = await line.house.commands.queue_call(line.house.place, 1, 0, [0], 1, 10**9)
    assert answer == [Code.CONFLICT, 1]


async def test_draining_lets_nobody_join_and_calls_the_rest(line: Line) -> None:
    buyer = await line.join()
    await line.open()
    await line.command("drain")
    assert await line.try_join(new_id()) == [Code.QUEUE_CLOSED, b"draining", 0]
    assert (await line.try_join(buyer))[0] == Code.OK
    assert await line.call() == 1
    await line.enter(buyer)


async def test_closing_calls_nobody_and_lets_those_inside_finish(line: Line) -> None:
    buyers = [await line.join() for _ in range(2)]
    await line.open()
    first, second = await in_order(line, buyers)
    await line.call(allowed=1)
    await line.enter(first)
    await line.command("close")
    assert await line.call() == 0
    await line.house.order(await line.house.hold(*SEATS, buyer=first))
    assert (await line.try_enter(second))[0] == Code.QUEUE_CLOSED
    await line.command("open")
    assert await line.call() == 1
    await line.enter(second)


async def test_a_room_switched_on_in_mid_sale_leaves_holds_as_they_are(house: House) -> None:
    line = Line(house)
    hold = await house.hold([0, 2, False, False])
    assert (await line.command("on"))[0] == Code.OK
    assert (await house.acquire(*SEATS)) == [Code.NOT_INSIDE]
    answer = await house.commands.change(
        house.place, hold.buyer, hold.id, b"", bytes(16), SEATS, []
    )
    assert answer == [Code.NOT_INSIDE]  # what is added is taken past the line
    assert (await house.commands.read(house.place, "h", hold.id, hold.buyer))[0] == Code.OK
    await house.commands.release(house.place, hold.buyer, hold.id)
    assert (await line.command("off"))[0] == Code.OK
    await house.hold(*SEATS)


async def test_settings_are_changed_live_and_recorded(line: Line) -> None:
    await line.command("set", rate=7, cap=3)
    queue = (await line.state()).queue
    assert (queue.rate, queue.cap) == (7, 3)
    kind, record = (await line.records())[-1]
    assert (kind, record.actor, record.command) == ("queue.command", "ada", "set")
    assert record.values == {"rate": 7, "cap": 3}


async def test_republishing_leaves_alone_what_it_does_not_change(line: Line) -> None:
    await line.command("set", rate=7, cap=3)
    snapshot = line.house.snapshot
    room = msgspec.structs.replace(snapshot.room, cap=9)
    await publication.republish(line.house.client, msgspec.structs.replace(snapshot, room=room))
    queue = (await line.state()).queue
    assert (queue.rate, queue.cap) == (7, 9)


async def test_suspects_of_the_pre_queue_follow_behind_the_draw(line: Line) -> None:
    name = [b"n" * 8, 1, 100]
    honest = [await line.join() for _ in range(5)]
    first = await line.join(budgets=[name])  # within its budget
    suspects = [await line.join(budgets=[name]) for _ in range(3)]
    honest += [await line.join() for _ in range(5)]
    await line.open()
    late = await line.join()
    numbers = [await line.number(buyer) for buyer in [*honest, first]]
    assert sorted(numbers) == list(range(1, 12))
    assert [await line.number(buyer) for buyer in suspects] == [12, 13, 14]
    assert await line.number(late) == 15
    assert (await line.state()).queue.drawn == 11
    assert await line.call() == 15


async def test_suspects_after_the_opening_get_places_further_back(line: Line) -> None:
    name = [b"n" * 8, 1, 100]
    await line.open()
    await line.join(budgets=[name])
    suspects = [await line.join(budgets=[name]) for _ in range(2)]
    numbers = [await line.number(buyer) for buyer in suspects]
    assert numbers == [102, 103]
    later = [await line.join() for _ in range(105)]
    taken = [await line.number(buyer) for buyer in later]
    assert taken == [*range(2, 102), *range(104, 109)]  # they fill the gap, and go around


async def test_suspects_are_called_when_nobody_else_is_left(line: Line) -> None:
    name = [b"n" * 8, 1, 100]
    await line.open()
    await line.join(budgets=[name])
    suspect = await line.join(budgets=[name])
    assert await line.call() == 2
    await line.enter(suspect)
    assert await line.number(await line.join()) == 103


async def test_beyond_the_hard_limit_there_is_no_place(line: Line) -> None:
    name = [b"n" * 8, 1, 2]
    for _ in range(2):
        await line.join(budgets=[name])
    code, ms = await line.try_join(new_id(), [name])
    assert code == Code.BUDGET
    assert 0 < ms <= 600_000
    await line.join(budgets=[[b"m" * 8, 1, 2]])


async def test_who_gives_up_places_again_and_again_ends_in_the_slow_lane(line: Line) -> None:
    buyer = new_id()
    for expected in (0, 1, -1):
        assert (await line.try_join(buyer))[1] == expected
        await line.leave(buyer)
    for _ in range(17):
        await line.join(buyer)
        await line.leave(buyer)
    assert (await line.try_join(buyer))[0] == Code.BUDGET
    await line.join()


async def test_a_repeated_join_spends_nothing(line: Line) -> None:
    name = [b"n" * 8, 2, 2]
    buyer = await line.join(budgets=[name])
    for _ in range(5):
        await line.join(buyer, budgets=[name])
    await line.join(budgets=[name])


async def test_what_was_joined_outlives_the_stock_being_rebuilt(line: Line) -> None:
    buyers = [await line.join() for _ in range(3)]
    await line.open()
    await line.call(allowed=1)

    async def no_orders() -> AsyncIterator[Order]:
        for order in list[Order]():
            yield order

    await restoration.restore(
        line.house.client,
        line.house.snapshot,
        SHARD,
        orders=no_orders(),
        sequence=0,
        version=2,
    )
    assert sorted([await line.number(buyer) for buyer in buyers]) == [1, 2, 3]
    assert (await line.house.acquire(*SEATS)) == [Code.NOT_INSIDE]
    first = (await in_order(line, buyers))[0]
    await line.enter(first)
    await line.house.hold(*SEATS, buyer=first)


async def test_the_roster_digest_is_over_what_was_joined(line: Line) -> None:
    buyers = [await line.join() for _ in range(4)]
    await line.leave(buyers[1])
    await line.open()
    leaves = [draw.leaf(line.occurrence, buyer) for buyer in buyers]
    leaves[1] = draw.EMPTY
    records = dict(await line.records())
    assert records["queue.drawn"].digest == hashlib.sha256(b"".join(leaves)).hexdigest()
    assert draw.commitment(bytes.fromhex(records["queue.drawn"].seed)) == (
        records["queue.drawn"].commitment
    )
    assert keys.prefix(SHARD, line.occurrence) == line.house.place


async def raises(line: Line, command: str, broken: str, *requests: object) -> None:
    """Run a batch whose last request meets a broken key, and so raises: nothing may be changed."""
    client, key = line.house.client, f"{line.house.place}:{broken}"
    kept = await client.dump(key)
    await client.delete(key)
    await client.rpush(key, "what no command expects here")
    before = await everything(line)
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await run_script(client, command, line.house.place, pack(requests))
    assert await everything(line) == before
    await client.delete(key)
    if kept is not None:
        await client.restore(key, 0, kept)


async def everything(line: Line) -> dict[bytes, bytes | None]:
    names = sorted([name async for name in line.house.client.scan_iter()])
    return {name: await line.house.client.dump(name) for name in names}


def joining(line: Line, buyer: str, over: int | None = None) -> list[object]:
    return [buyer, draw.leaf(line.occurrence, buyer), [], False if over is None else over]


async def test_a_batch_that_fails_closes_no_roster(redis_client: Redis, commands: Commands) -> None:
    line = await make_line(redis_client, commands)
    name = [b"n" * 8, 1, 100]
    first, *_ = [await line.join(budgets=[name]) for _ in range(3)]
    queue = (await line.state()).queue
    queue.opens = 0
    await redis_client.set(f"{line.house.place}:queue", pack(msgspec.structs.asdict(queue)))
    buyer = new_id()
    await raises(
        line, "queue_join", f"b:{first}", joining(line, buyer), joining(line, first, over=0)
    )
    assert (await line.try_join(buyer))[1:3] == [3, 1]  # behind one who was drawn and two suspects


async def test_a_batch_that_fails_takes_no_reserved_place(line: Line) -> None:
    name = [b"n" * 8, 1, 100]
    await line.open()
    first = await line.join(budgets=[name])
    suspect = await line.join(budgets=[name])
    for _ in range(100):
        await line.join()  # up to the reserved place
    other = new_id()
    await raises(
        line, "queue_join", f"b:{first}", joining(line, other), joining(line, first, over=0)
    )
    numbers = [await line.number(await line.join(other)), await line.number(suspect)]
    assert numbers == [103, 102]


async def test_a_batch_that_fails_gives_no_place_up(line: Line) -> None:
    await line.open()
    first, second = await line.join(), await line.join()
    await raises(line, "queue_leave", "called", [first, 0, 0], [second, 1, 2])
    assert await line.call() == 2
