"""The waiting room as the edge uses it, with the leader that moves it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from engine.core.errors import ConflictError, InvalidRequestError, NotFoundError
from engine.core.ids import new_id
from engine.platform.http.errors import TooManyRequestsError
from engine.platform.valkey import keys
from engine.platform.valkey.packing import pack, unpack
from engine.queue.admission.edge_reports import Pulse, report_pulse
from engine.queue.admission.leader import Admission
from engine.queue.draw import numbers as draw
from engine.queue.errors import NotCalledError, NotInQueueError, PlaceExpiredError, QueueClosedError
from engine.queue.gate.budgets import Budget
from engine.queue.service import WaitingRoom
from engine.queue.store import read_queue
from engine.queue.views import QueueView
from engine.sale.errors import NotInsideError, OccurrenceUnknownError, SalePausedError
from engine.sale.inventory import publication
from engine.sale.inventory.snapshot import Room
from engine.sale.requests import CheckoutRequest, HoldRequest, LineRequest
from tests.clocks import put_clock_ahead
from tests.houses import small_house
from tests.sale.conftest import SHARD, Box, idempotency

HALF_AN_HOUR_MS = 1_800_000
PROCESS = new_id()
ONE = HoldRequest(lines=[LineRequest(ticket_type="standing", quantity=1)])


class Hall:
    """A sale behind a waiting room, whose leader steps when it is told to."""

    def __init__(self, box: Box, occurrence: str) -> None:
        self.sale = box.sale
        self.client = box.client
        self.occurrence = occurrence
        self.place = keys.prefix(SHARD, occurrence)
        self.leader = Admission(box.sale, box.client)
        self._ahead_ms = 0

    @property
    def room(self) -> WaitingRoom:
        return self.sale.waiting

    async def join(self, n: int) -> list[str]:
        buyers = [new_id() for _ in range(n)]
        for buyer in buyers:
            await self.room.join(buyer, self.occurrence)
        return buyers

    async def open(self) -> None:
        """Open the line, and step until it is drawn."""
        await self.room.command(self.occurrence, "ada", "open")
        while not (await self.room.draw(self.occurrence)).drawn:
            await self.step()
        await self.fresh()

    async def step(self) -> None:
        """Let the leader look and call; the edge is well."""
        await report_pulse(self.client, Pulse(process=PROCESS))
        await self.leader.run_once()

    async def fresh(self) -> None:
        """Let nothing be answered from a reading of before."""
        await self.room.boards.get(self.occurrence, newest=True)

    async def status(self, buyer: str) -> QueueView:
        await self.fresh()
        return await self.room.status(buyer, self.occurrence)

    async def in_order(self, buyers: list[str]) -> list[str]:
        numbers = {buyer: (await self.status(buyer)).number or 0 for buyer in buyers}
        return sorted(buyers, key=lambda buyer: numbers[buyer])

    async def until_called(self, buyer: str) -> QueueView:
        async with asyncio.timeout(20):
            while True:
                await self.step()
                view = await self.status(buyer)
                if view.state == "called":
                    return view
                await self.advance(200)

    async def advance(self, ms: int) -> None:
        self._ahead_ms += ms
        await put_clock_ahead(self.client, self.place, self._ahead_ms)

    async def time_passes(self) -> None:
        """Wait until the store's wall clock has moved on."""

        async def wall_ms() -> int:
            return (await read_queue(self.client, SHARD, self.occurrence)).wall_ms

        before = await wall_ms()
        while await wall_ms() < before + 20:  # noqa: ASYNC110 - it is on the other side of a connection
            await asyncio.sleep(0)

    async def hold(self, buyer: str) -> None:
        await self.sale.holds.acquire(buyer, self.occurrence, ONE, idempotency())


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.fixture
async def hall(box: Box, redis_client: Redis) -> AsyncIterator[Hall]:
    room = Room(opens_at=now_ms() + HALF_AN_HOUR_MS // 2, cap=10)
    snapshot = small_house(room=room, event_slug="behind-a-room")
    await publication.publish(redis_client, snapshot, shard=SHARD)
    made = Hall(box, snapshot.occurrence)
    yield made
    await made.leader.stop()


async def test_two_who_join_early(hall: Hall) -> None:
    ada, bob = await hall.join(2)
    early = await hall.status(ada)
    assert (early.state, early.number, early.ahead) == ("pre-queue", None, None)
    assert early.opens_in_ms is not None
    assert 0 < early.opens_in_ms <= HALF_AN_HOUR_MS
    assert early.chance == 100
    with pytest.raises(NotCalledError):
        await hall.room.enter(ada, hall.occurrence)
    await hall.open()
    first, second = await hall.in_order([ada, bob])
    assert [(await hall.status(buyer)).number for buyer in (first, second)] == [1, 2]
    called = await hall.until_called(first)
    assert called.claim_in_ms is not None
    with pytest.raises(NotInsideError):
        await hall.hold(first)
    inside = await hall.room.enter(first, hall.occurrence)
    assert inside.state == "inside"
    assert inside.leave_in_ms is not None
    assert 0 < inside.leave_in_ms <= 600_000
    await hall.hold(first)
    with pytest.raises(NotInsideError):
        await hall.hold(second)


async def test_the_draw_can_be_checked(hall: Hall) -> None:
    before = await hall.room.draw(hall.occurrence)
    assert (before.drawn, before.seed, before.digest) == (False, None, None)
    with pytest.raises(NotFoundError):
        await hall.room.roster(hall.occurrence, 0, 10)
    buyers = await hall.join(20)
    await hall.open()
    after = await hall.room.draw(hall.occurrence)
    assert after.commitment == before.commitment
    assert after.seed is not None
    assert after.digest is not None
    assert after.n == 20
    assert draw.commitment(bytes.fromhex(after.seed)) == before.commitment
    roster = await hall.room.roster(hall.occurrence, 0, 1_000)
    assert roster == b"".join(draw.leaf(hall.occurrence, buyer) for buyer in buyers)
    key = draw.draw_key(bytes.fromhex(after.seed), bytes.fromhex(after.digest))
    for index, buyer in enumerate(buyers):
        view = await hall.status(buyer)
        assert view.roster_index == index
        assert view.number == draw.permute(key, 20, index) + 1


async def test_one_who_waits_is_told_what_to_expect(hall: Hall) -> None:
    await hall.open()
    buyers = await hall.join(30)
    view = await hall.status(buyers[-1])
    assert view.state == "waiting"
    assert view.number == 30
    assert view.ahead is not None
    assert view.eta is not None
    assert view.eta.from_ms <= view.eta.likely_ms <= view.eta.to_ms
    assert view.chance is not None
    assert 0 <= view.chance <= 100
    assert 500 <= view.ask_in_ms <= 40_000
    stalls = next(left for left in view.left if left.ticket_type == "stalls")
    assert (stalls.left, stalls.price_from) == (18, 3000)
    assert (await hall.status(buyers[0])).chance == 100


async def test_who_bought_is_done_and_may_join_again(hall: Hall) -> None:
    (buyer,) = await hall.join(1)
    await hall.open()
    await hall.until_called(buyer)
    await hall.room.enter(buyer, hall.occurrence)
    hold = await hall.sale.holds.acquire(buyer, hall.occurrence, ONE, idempotency())
    await hall.sale.orders.checkout(
        buyer,
        hall.occurrence,
        hold.id,
        CheckoutRequest(email="ada@example.org", name="Ada"),
        idempotency(),
    )
    assert (await hall.status(buyer)).state == "done"
    with pytest.raises(PlaceExpiredError):
        await hall.room.enter(buyer, hall.occurrence)
    again = await hall.room.join(buyer, hall.occurrence)
    assert (again.state, again.number) == ("waiting", 2)


async def test_who_did_not_come_is_told_and_may_join_again(hall: Hall) -> None:
    (buyer,) = await hall.join(1)
    await hall.open()
    await hall.until_called(buyer)
    await hall.advance(120_000)
    assert (await hall.status(buyer)).state == "expired"
    with pytest.raises(PlaceExpiredError) as failed:
        await hall.room.enter(buyer, hall.occurrence)
    assert failed.value.extra == {"how": "no_show"}
    assert (await hall.room.join(buyer, hall.occurrence)).number == 2


async def test_a_pause_freezes_both_clocks(hall: Hall) -> None:
    buyers = await hall.join(2)
    await hall.open()
    first, second = await hall.in_order(buyers)
    await hall.until_called(second)
    await hall.room.enter(first, hall.occurrence)
    await hall.sale.pause(hall.occurrence, "ada")
    before = [await hall.status(buyer) for buyer in (first, second)]
    assert all(view.paused for view in before)
    await hall.time_passes()
    after = [await hall.status(buyer) for buyer in (first, second)]
    assert [view.leave_in_ms for view in after] == [view.leave_in_ms for view in before]
    assert [view.claim_in_ms for view in after] == [view.claim_in_ms for view in before]
    with pytest.raises(SalePausedError):
        await hall.hold(first)
    await hall.sale.resume(hall.occurrence, "ada")
    await hall.hold(first)


async def test_without_a_place_there_is_nothing_to_tell(hall: Hall) -> None:
    with pytest.raises(NotInQueueError):
        await hall.room.status(new_id(), hall.occurrence)
    with pytest.raises(NotInQueueError):
        await hall.room.enter(new_id(), hall.occurrence)
    await hall.room.leave(new_id(), hall.occurrence)
    (buyer,) = await hall.join(1)
    assert [
        view and view.state for view in await hall.room.statuses([buyer, new_id()], hall.occurrence)
    ] == ["pre-queue", None]
    with pytest.raises(OccurrenceUnknownError):
        await hall.room.join(new_id(), new_id())


async def test_who_leaves_has_no_place(hall: Hall) -> None:
    ada, bob = await hall.join(2)
    await hall.room.leave(ada, hall.occurrence)
    await hall.open()
    with pytest.raises(NotInQueueError):
        await hall.status(ada)
    await hall.until_called(bob)


async def test_joining_says_when_it_is_too_early(box: Box, redis_client: Redis) -> None:
    opens = now_ms() + 2 * HALF_AN_HOUR_MS
    snapshot = small_house(room=Room(opens_at=opens), event_slug="later")
    await publication.publish(redis_client, snapshot, shard=SHARD)
    with pytest.raises(QueueClosedError) as failed:
        await box.sale.waiting.join(new_id(), snapshot.occurrence)
    assert failed.value.extra["reason"] == "early"
    assert failed.value.retry_after_s is not None
    assert 1_700 < failed.value.retry_after_s <= 1_800


async def test_where_there_is_no_room_nobody_waits(box: Box) -> None:
    with pytest.raises(QueueClosedError) as failed:
        await box.sale.waiting.join(new_id(), box.occurrence)
    assert failed.value.extra == {"reason": "off"}
    board = await box.sale.waiting.board(box.occurrence)
    assert board.serving.state == "off"
    with pytest.raises(ConflictError):
        await box.sale.waiting.command(box.occurrence, "ada", "open")


async def test_commands_are_checked(hall: Hall) -> None:
    room = hall.room
    with pytest.raises(InvalidRequestError):
        await room.command(hall.occurrence, "ada", "explode")
    with pytest.raises(InvalidRequestError):
        await room.command(hall.occurrence, "", "open")
    with pytest.raises(InvalidRequestError):
        await room.command(hall.occurrence, "ada", "set", {"rate": 0})
    assert (await room.command(hall.occurrence, "ada", "set", {"cap": 3})).cap == 3


async def test_a_closed_line_says_so(hall: Hall) -> None:
    buyers = await hall.join(2)
    await hall.open()
    await hall.room.command(hall.occurrence, "ada", "close")
    assert {(await hall.status(buyer)).state for buyer in buyers} == {"closed"}
    with pytest.raises(QueueClosedError):
        await hall.room.join(new_id(), hall.occurrence)
    assert (await hall.room.board(hall.occurrence)).serving.state == "closed"


async def test_where_the_room_is_switched_off_nobody_waits_in_vain(hall: Hall) -> None:
    buyers = await hall.join(20)
    await hall.open()
    buyer = (await hall.in_order(buyers))[-1]
    number = (await hall.status(buyer)).number
    await hall.room.command(hall.occurrence, "ada", "off")
    assert (await hall.status(buyer)).state == "closed"
    await hall.hold(buyer)
    await hall.room.command(hall.occurrence, "ada", "on")
    found = await hall.status(buyer)
    assert (found.state, found.number) == ("waiting", number)


async def test_budgets_slow_down_and_stop(hall: Hall) -> None:
    budget = Budget(name=b"8 bytes.", soft=1, hard=2)
    first = await hall.room.join(new_id(), hall.occurrence, [budget])
    suspect = await hall.room.join(new_id(), hall.occurrence, [budget])
    seen = ("state", "number", "ahead", "left", "sold_out", "roster_index", "chance")
    assert all(getattr(first, name) == getattr(suspect, name) for name in seen)
    with pytest.raises(TooManyRequestsError) as failed:
        await hall.room.join(new_id(), hall.occurrence, [budget])
    assert failed.value.retry_after_s


async def test_when_nothing_is_left_the_line_is_told_and_goes_on_when_it_comes_back(
    hall: Hall,
) -> None:
    buyers = await hall.join(8)
    await hall.open()
    line = await hall.in_order(buyers)
    await hall.until_called(line[0])
    await hall.room.enter(line[0], hall.occurrence)
    # everything is taken, as if by those who were inside before
    counters = await everything_held(hall)
    await hall.fresh()
    board = await hall.room.board(hall.occurrence)
    assert board.free == 0
    served = board.queue.served
    for _ in range(10):
        await hall.advance(500)
        await hall.step()
    assert (await hall.room.boards.get(hall.occurrence, newest=True)).queue.served == served
    assert not board.serving.sold_out  # it is in carts, and may come back
    await hall.client.set(f"{hall.place}:stock", counters)
    await hall.until_called(line[-1])


async def everything_held(hall: Hall) -> bytes:
    """Move all that is free to held, and return the stock as it was."""
    packed = await hall.client.get(f"{hall.place}:stock")
    assert isinstance(packed, bytes)
    stock = unpack(packed)
    for at in range(1, len(stock), 4):
        stock[at + 1] += stock[at]
        stock[at] = 0
    await hall.client.set(f"{hall.place}:stock", pack(stock))
    return packed


async def test_one_reading_serves_all_who_ask_at_once(hall: Hall) -> None:
    boards = await asyncio.gather(*(hall.room.board(hall.occurrence) for _ in range(50)))
    assert len({id(board) for board in boards}) == 1
    assert boards[0].body == boards[-1].body


async def test_the_shared_document_changes_its_version_with_its_content(hall: Hall) -> None:
    before = await hall.room.board(hall.occurrence)
    await hall.fresh()
    assert (await hall.room.board(hall.occurrence)).version == before.version
    await hall.open()
    after = await hall.room.board(hall.occurrence)
    assert after.version != before.version
    assert (before.serving.state, after.serving.state) == ("pre-queue", "open")


async def test_what_is_left_of_the_line_is_told_in_order(hall: Hall) -> None:
    buyers = await hall.join(30)
    with pytest.raises(ConflictError):
        await hall.room.remaining(hall.occurrence)
    await hall.open()
    late = await hall.join(2)
    line = [*await hall.in_order(buyers), *late]
    await hall.until_called(line[3])
    await hall.room.leave(line[20], hall.occurrence)
    served = (await hall.room.board(hall.occurrence)).queue.served
    found = await hall.room.remaining(hall.occurrence)
    assert [place.buyer for place in found] == [
        buyer for buyer in line[served:] if buyer != line[20]
    ]
    assert [place.number for place in found] == sorted(place.number for place in found)
