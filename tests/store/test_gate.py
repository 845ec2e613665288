"""What takes stock needs a pass where a waiting room is on, whatever command takes it.

Giving back never does, nor does paying for what one has.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from engine.core.ids import new_id
from engine.platform.valkey.codes import Code
from engine.sale.commands import Commands
from engine.sale.documents import Hold
from engine.sale.inventory import publication
from engine.sale.inventory.snapshot import Room
from tests.houses import small_house
from tests.store.conftest import BODY, SHARD, House, key
from tests.store.line import Line

STALLS, STANDING = 0, 3
ONE = [STANDING, 1, False, False]
TWO = [STANDING, 2, False, False]
MINUTE_MS = 60_000


class Buyer:
    """A buyer with a hold of two standing places, and what they do to it."""

    def __init__(self, line: Line, hold: Hold | None, name: str) -> None:
        self.line = line
        self.house = line.house
        self.hold = hold
        self.name = name

    async def change(self, add: list[Any], remove: list[Any]) -> list[Any]:
        hold = self.hold.id if self.hold else new_id()
        return await self.house.commands.change(
            self.house.place, self.name, hold, b"", BODY, add, remove
        )

    async def acquire(self) -> list[Any]:
        """Take a new hold; the one that there was is given back before."""
        if self.hold:
            await self.release()
        return await self.house.acquire(ONE, buyer=self.name)

    async def add(self) -> list[Any]:
        return await self.change([ONE], [])

    async def swap(self) -> list[Any]:
        return await self.change([[STALLS, 1, False, False]], [[STANDING, 1, False]])

    async def swap_for_the_same(self) -> list[Any]:
        return await self.change([TWO], [[STANDING, 2, False]])

    async def remove(self) -> list[Any]:
        return await self.change([], [[STANDING, 1, False]])

    async def extend(self) -> list[Any]:
        assert self.hold
        return await self.house.commands.extend(
            self.house.place, self.name, self.hold.id, key(), BODY
        )

    async def release(self) -> list[Any]:
        assert self.hold
        return await self.house.commands.release(self.house.place, self.name, self.hold.id)

    async def order(self) -> list[Any]:
        assert self.hold
        return await self.house.try_order(self.hold)


async def entered(line: Line) -> str:
    """A buyer who is inside."""
    name = await line.join()
    await line.open()
    await line.call()
    await line.enter(name)
    return name


async def no_room(line: Line) -> Buyer:
    await line.command("off")
    hold = await line.house.hold(TWO)
    return Buyer(line, hold, hold.buyer)


async def inside(line: Line) -> Buyer:
    name = await entered(line)
    return Buyer(line, await line.house.hold(TWO, buyer=name), name)


async def left(line: Line) -> Buyer:
    buyer = await inside(line)
    await line.leave(buyer.name)
    return buyer


async def out_of_time(line: Line) -> Buyer:
    buyer = await inside(line)
    await line.house.advance(9 * MINUTE_MS)
    buyer.hold = None
    await line.house.sweep()
    buyer.hold = await line.house.hold(TWO, buyer=buyer.name)
    await line.house.advance(2 * MINUTE_MS)
    await line.house.sweep()
    return buyer


async def ordered(line: Line) -> Buyer:
    """Their pass was used up; the hold that they have is of before the room was switched on."""
    buyer = await no_room(line)
    await line.command("on")
    await line.join(buyer.name)
    return buyer


async def switched_on(line: Line) -> Buyer:
    buyer = await no_room(line)
    await line.command("on")
    return buyer


async def republished_on(line: Line) -> Buyer:
    buyer = await no_room(line)
    edit = msgspec.structs.replace(line.house.snapshot, room=Room(on=False))
    await publication.republish(line.house.client, edit)
    await publication.republish(line.house.client, line.house.snapshot)
    return buyer


async def waiting(line: Line) -> Buyer:
    buyer = await switched_on(line)
    await line.join(buyer.name)
    await line.open()
    return buyer


async def called(line: Line) -> Buyer:
    buyer = await waiting(line)
    assert await line.call() == 1
    return buyer


async def drained(line: Line) -> Buyer:
    buyer = await switched_on(line)
    await line.command("drain")
    return buyer


async def closed(line: Line) -> Buyer:
    buyer = await switched_on(line)
    await line.command("close")
    return buyer


async def closed_inside(line: Line) -> Buyer:
    buyer = await inside(line)
    await line.command("close")
    return buyer


Situation = Callable[[Line], Awaitable[Buyer]]
WITH_A_RIGHT: list[Situation] = [no_room, inside, closed_inside]
WITHOUT: list[Situation] = [
    left,
    out_of_time,
    ordered,
    switched_on,
    republished_on,
    waiting,
    called,
    drained,
    closed,
]
TAKES = ["acquire", "add", "swap", "swap_for_the_same"]
TAKES_NOTHING = ["remove", "extend", "release", "order"]


@pytest.fixture
async def line(redis_client: Redis, commands: Commands) -> Any:
    snapshot = small_house(room=Room(opens_at=1, rate=1_000_000, rate_ms=1_000))
    await publication.publish(redis_client, snapshot, shard=SHARD)
    made = Line(House(redis_client, commands, snapshot))
    yield made
    await made.house.assert_conserved()


@pytest.mark.parametrize("step", TAKES + TAKES_NOTHING)
@pytest.mark.parametrize("situation", WITH_A_RIGHT)
async def test_who_has_the_right_may_do_all(line: Line, situation: Situation, step: str) -> None:
    buyer = await situation(line)
    assert (await getattr(buyer, step)())[0] == Code.OK


@pytest.mark.parametrize("step", TAKES)
@pytest.mark.parametrize("situation", WITHOUT)
async def test_without_a_pass_nothing_takes(line: Line, situation: Situation, step: str) -> None:
    buyer = await situation(line)
    before = await line.house.counter("quota:standing")
    assert (await getattr(buyer, step)()) == [Code.NOT_INSIDE]
    after = await line.house.counter("quota:standing")
    assert after.free >= before.free


@pytest.mark.parametrize("step", TAKES_NOTHING)
@pytest.mark.parametrize("situation", WITHOUT)
async def test_giving_back_and_paying_need_no_pass(
    line: Line, situation: Situation, step: str
) -> None:
    buyer = await situation(line)
    assert (await getattr(buyer, step)())[0] == Code.OK


@pytest.mark.parametrize("situation", [left, switched_on, out_of_time])
async def test_without_a_pass_nothing_is_kept_beyond_the_holds_longest_time(
    line: Line, situation: Situation
) -> None:
    buyer = await situation(line)
    assert buyer.hold
    end = buyer.hold.created + 15 * MINUTE_MS
    for _ in range(4):
        await line.house.advance(5 * MINUTE_MS)
        answer = await buyer.extend()
        if answer[0] == Code.OK:
            assert msgspec.msgpack.decode(answer[1], type=Hold).expires <= end
    assert answer[0] == Code.HOLD_ENDED


async def test_a_pass_ends_25_minutes_after_entering_whatever_is_held_with_it(line: Line) -> None:
    name = await entered(line)
    house, waited = line.house, 0
    refused = False
    while waited < 25 * MINUTE_MS:
        answer = await house.acquire(ONE, buyer=name)
        refused = refused or answer == [Code.NOT_INSIDE]
        if answer[0] == Code.HOLD_EXISTS:
            await house.commands.extend(house.place, name, answer[1].decode(), key(), BODY)
        await house.advance(MINUTE_MS)
        waited += MINUTE_MS
    await house.sweep()
    assert refused
    assert (await line.state()).queue.inside == 0
    assert (await house.counter("quota:standing")).held == 0
    assert await house.acquire(ONE, buyer=name) == [Code.NOT_INSIDE]


async def test_late_money_is_honoured_without_a_pass(line: Line) -> None:
    name = await entered(line)
    house = line.house
    order = await house.order(await house.hold(TWO, buyer=name))
    await house.commands.cancel(house.place, order.id, "buyer", 30_000)
    await house.commands.release_order(house.place, order.id, "pi_1")
    answer = await house.commands.confirm(house.place, order.id, "pi_1", order.total)
    assert answer[0] == Code.OK
    assert (await house.read_order(order.id)).state == "confirmed"


async def test_a_repeated_change_is_told_what_it_was_told_before_the_pass_ended(line: Line) -> None:
    buyer = await inside(line)
    assert buyer.hold
    house, used = line.house, key()
    arguments: Any = (house.place, buyer.name, buyer.hold.id, used, BODY, [ONE], [])
    first = await house.commands.change(*arguments)
    await line.leave(buyer.name)
    again = await house.commands.change(*arguments)
    assert again[:2] == first[:2]
    assert (await house.counter("quota:standing")).held == 3


async def test_a_pause_and_the_end_of_sale_stop_additions_as_they_stop_holds(line: Line) -> None:
    buyer = await inside(line)
    assert (await line.house.commands.pause(line.house.place, "ada"))[0] == Code.OK
    for step in ("add", "swap"):
        assert await getattr(buyer, step)() == [Code.PAUSED]
    assert (await buyer.remove())[0] == Code.OK


def test_free_stock_becomes_held_in_one_file_and_behind_the_gate() -> None:
    files = set()
    for path in Path("lua").rglob("*.lua"):
        code = re.sub(r"--.*", "", path.read_text())
        if "FREE, HELD, SOLD" not in code and "FREE, HELD" in code:
            files.add(path.name)
    assert files == {"take.lua"}
    take = Path("lua/includes/take.lua").read_text()
    assert take.index("refusal(buyer") < take.index("= take(wanted")
