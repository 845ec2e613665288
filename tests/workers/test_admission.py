"""Letting people in, with a real store and a sale clock that is moved on by hand."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import msgspec
import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine.core.ids import new_id
from engine.core.settings import Settings
from engine.payments import make_provider
from engine.platform.http.idempotency import Idempotency
from engine.platform.valkey import keys, lease
from engine.platform.valkey.connections import connect
from engine.platform.valkey.packing import pack, unpack
from engine.queue import store as waiting
from engine.queue.admission.edge_reports import Pulse, report_pulse
from engine.queue.admission.leader import Admission
from engine.queue.documents import QueueRecord
from engine.queue.draw.numbers import LEAF_BYTES, draw_key, number
from engine.queue.store import QueueState
from engine.sale.inventory import publication
from engine.sale.inventory.snapshot import Quota, Room, Snapshot
from engine.sale.requests import CheckoutRequest, HoldRequest, LineRequest
from engine.sale.service import Sale
from tests.clocks import put_clock_ahead
from tests.conservation import assert_conserved
from tests.houses import small_house

SHARD = 4
STEP_MS = 200
HOUR_MS = 3_600_000
STANDING = 100_000
_queue_record = msgspec.msgpack.Decoder(QueueRecord)

Call = tuple[int, int]  # first and last number


class Hall:
    """A sale with a line, and how its clock and its edge are moved on between two steps."""

    def __init__(self, sale: Sale, client: Redis) -> None:
        self.sale = sale
        self.client = client
        self.snapshot: Snapshot = small_house()
        self.place = ""
        self.buyers: list[str] = []
        self.pulse: Pulse | None = Pulse(process=new_id())
        self._ahead_ms = 0

    @property
    def occurrence(self) -> str:
        return self.snapshot.occurrence

    async def publish(self, **room: Any) -> None:
        opens_at = room.pop("opens_in_ms", -1) + time.time_ns() // 1_000_000
        self.snapshot = small_house(
            room=Room(**{"rate": 10, "rate_ms": 1_000, "opens_at": opens_at, **room}),
            quotas=(
                Quota(code="standing", name="Standing", capacity=STANDING),
                Quota(code="licence", name="Balcony licence", capacity=12),
            ),
        )
        self.place = keys.prefix(SHARD, self.occurrence)
        await publication.publish(self.client, self.snapshot, shard=SHARD)
        await self.sale.known.get(self.occurrence)  # a publication is seen within half a second

    async def join(self, count: int) -> list[str]:
        joined = [new_id() for _ in range(count)]
        for buyer in joined:
            await self.sale.waiting.join(buyer, self.occurrence)
        self.buyers += joined
        return joined

    async def state(self) -> QueueState:
        return await waiting.read_queue(self.client, SHARD, self.occurrence)

    async def advance(self, ms: int) -> None:
        self._ahead_ms += ms
        await put_clock_ahead(self.client, self.place, self._ahead_ms)

    async def stock(self, *, free: int) -> None:
        """Let so many standing places be free, and all else be sold."""
        packed = cast("bytes", await self.client.get(f"{self.place}:stock"))
        stock = unpack(packed)
        for at in range(1, len(stock), 4):
            stock[at : at + 4] = [0, 0, sum(stock[at : at + 4]), 0]
        configuration = cast("bytes", await self.client.get(f"{self.place}:conf"))
        at = 1 + 4 * unpack(configuration)[b"names"].index(b"quota:standing")
        stock[at : at + 4] = [free, 0, STANDING - free, 0]
        await self.client.set(f"{self.place}:stock", pack(stock))

    async def records(self) -> list[QueueRecord]:
        entries: Any = await self.client.xrange(keys.stream(SHARD))
        packed = [fields[b"q"] for _, fields in entries if b"q" in fields]
        return [_queue_record.decode(one) for one in packed]

    async def calls(self) -> list[Call]:
        """What was called; nobody twice, and in order."""
        found = [(one.first, one.last) for one in await self.records() if one.first]
        numbers = [number for first, last in found for number in range(first, last + 1)]
        assert numbers == list(range(1, len(numbers) + 1))
        return found

    async def called(self) -> list[str]:
        """Those who may enter this moment."""
        views = await self.sale.waiting.statuses(self.buyers, self.occurrence)
        return [
            buyer
            for buyer, view in zip(self.buyers, views, strict=True)
            if view is not None and view.state == "called"
        ]

    async def hold(self, buyer: str, quantity: int, kind: str = "standing") -> str:
        request = HoldRequest(lines=[LineRequest(ticket_type=kind, quantity=quantity)])
        made = await self.sale.holds.acquire(buyer, self.occurrence, request, once())
        return made.id

    async def order(self, buyer: str, hold: str) -> None:
        request = CheckoutRequest(email="ada@example.org", name="Ada")
        await self.sale.orders.checkout(buyer, self.occurrence, hold, request, once())


def once() -> Idempotency:
    return Idempotency(key_digest=bytes.fromhex(new_id()), body_digest=b"b" * 16)


@pytest.fixture
async def hall(valkey_url: str, redis_client: Redis) -> AsyncIterator[Hall]:
    settings = Settings(redis_url=f"{valkey_url}/0")
    client = connect(settings.redis_url)
    provider = make_provider(settings)
    sale = Sale(settings, client, provider)
    await sale.start()
    yield Hall(sale, client)
    await sale.stop()
    await provider.close()
    await client.aclose()


MakeAdmission = Callable[[], Admission]


@pytest.fixture
async def make_admission(hall: Hall) -> AsyncIterator[MakeAdmission]:
    made: list[Admission] = []

    def make() -> Admission:
        made.append(Admission(hall.sale, hall.client))
        return made[-1]

    yield make
    for admission in made:
        await admission.stop()


@pytest.fixture
def admission(make_admission: MakeAdmission) -> Admission:
    return make_admission()


async def step(hall: Hall, admission: Admission, count: int = 1) -> None:
    for _ in range(count):
        await hall.advance(STEP_MS)
        if hall.pulse is not None:
            await report_pulse(hall.client, hall.pulse)
        await admission.run_once()


async def look(admission: Admission) -> None:
    """Let the next step look at the edge and at the rooms, as it does once a second."""
    admission._looked_s = -1e9


def reason(hall: Hall) -> str:
    """Why the line moves as it does, as the metrics have it."""
    family = next(one for one in REGISTRY.collect() if one.name == "onsale_admission_reason")
    (found,) = [
        sample.labels["reason"]
        for sample in family.samples
        if sample.labels["occurrence"] == hall.occurrence and sample.value
    ]
    return found


async def test_at_the_opening_the_line_is_drawn_and_called_in_the_order_of_the_draw(
    hall: Hall, admission: Admission
) -> None:
    await hall.publish(opens_in_ms=HOUR_MS, pre_queue_ms=2 * HOUR_MS)
    early = await hall.join(40)
    await step(hall, admission, 3)
    assert (await hall.state()).queue.served == 0
    assert reason(hall) == "not_open"
    await hall.sale.waiting.command(hall.occurrence, "ada", "open")
    await hall.join(10)
    admission._lines[hall.occurrence]._idle_until_s = 0
    await step(hall, admission)
    draw = await waiting.read_draw(hall.client, SHARD, hall.occurrence)
    roster = await waiting.read_roster(hall.client, SHARD, hall.occurrence, 0, 40)
    assert len(roster) == 40 * LEAF_BYTES
    assert (draw.n, draw.digest) == (40, hashlib.sha256(roster).hexdigest())
    key = draw_key(bytes.fromhex(draw.seed), bytes.fromhex(draw.digest))
    await step(hall, admission, 6)
    served = (await hall.state()).queue.served
    assert 10 <= served < 40
    first = {buyer for i, buyer in enumerate(early) if number(key, 40, i) <= served}
    assert set(await hall.called()) == first
    await step(hall, admission, 25)
    assert (await hall.state()).queue.served == 50
    assert set(await hall.called()) == set(hall.buyers)


async def test_nobody_joined_before_the_opening(hall: Hall, admission: Admission) -> None:
    await hall.publish()
    await step(hall, admission)
    assert (await waiting.read_draw(hall.client, SHARD, hall.occurrence)).n == 0
    await hall.join(3)
    await step(hall, admission, 4)
    assert (await hall.state()).called == 3
    assert reason(hall) == "nobody_waiting"


@pytest.mark.parametrize(
    ("rate", "rate_ms", "steps"), [(10, 1_000, 40), (50, 1_000, 10), (3, 7_000, 80)]
)
async def test_the_steps_are_even_and_within_the_operators_rate(
    hall: Hall, admission: Admission, rate: int, rate_ms: int, steps: int
) -> None:
    await hall.publish(rate=rate, rate_ms=rate_ms, cap=10_000)
    await hall.join(200)
    await step(hall, admission)
    began = (await hall.state()).now_ms
    counts = []
    for _ in range(steps):
        before = (await hall.state()).queue.served
        await step(hall, admission)
        counts.append((await hall.state()).queue.served - before)
    took_ms = (await hall.state()).now_ms - began
    even = rate * STEP_MS / rate_ms
    assert max(counts) <= 2 * even + 1
    a_second = 1_000 * rate / rate_ms  # what may be made up for after a delay
    assert sum(counts) <= rate * took_ms / rate_ms + a_second + 1
    assert sum(counts) >= 0.8 * even * steps
    await hall.calls()


async def test_the_cap_is_never_exceeded_and_who_leaves_makes_room(
    hall: Hall, admission: Admission
) -> None:
    await hall.publish(cap=5)
    await hall.join(20)
    inside: list[str] = []
    for turn in range(60):
        await step(hall, admission)
        state = await hall.state()
        assert state.called + state.queue.inside <= 5
        for buyer in await hall.called():
            await hall.sale.waiting.enter(buyer, hall.occurrence)
            inside.append(buyer)
        if len(inside) >= 5 and turn < 10:
            continue
        if turn == 10:
            assert (await hall.state()).queue.served == 5
            assert reason(hall) == "cap_reached"
        if turn >= 10 and inside:
            await hall.sale.waiting.leave(inside.pop(0), hall.occurrence)
    assert (await hall.state()).queue.served == 20


async def test_of_two_services_one_leads_and_the_other_takes_over(
    hall: Hall, make_admission: MakeAdmission, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    first, second = make_admission(), make_admission()
    await hall.publish()
    await hall.join(30)
    for _ in range(5):
        await step(hall, first)
        await second.run_once()
    assert (first.fence, second.fence) == (1, 0)
    before = (await hall.state()).queue.served
    assert before > 3
    await run_out(hall.client)  # the first was killed; its lease is over
    await step(hall, second, 5)
    assert second.fence == 2
    after = (await hall.state()).queue.served
    assert after > before
    # the first comes to itself, in the middle of a step
    for line in first._lines.values():
        await first._step(line)
    assert (await hall.state()).queue.served == after
    assert first._above == 2
    await first.run_once()
    assert first._lines == {}
    await step(hall, second, 20)
    assert (await hall.state()).queue.served == 30
    await hall.calls()
    assert "lets nobody in any more" in caplog.text


async def run_out(client: Redis) -> None:
    packed = cast("bytes", await client.get(lease.ADMISSION))
    owner, fence, _ = unpack(packed)
    await client.set(lease.ADMISSION, pack([owner, fence, 1]))


async def test_both_step_at_once_and_nobody_is_called_twice(
    hall: Hall, make_admission: MakeAdmission
) -> None:
    first, second = make_admission(), make_admission()
    await hall.publish()
    await hall.join(30)
    await step(hall, first)
    await run_out(hall.client)
    await step(hall, second)
    began = await hall.state()
    for _ in range(10):
        await hall.advance(STEP_MS)
        first.fence = second.fence  # as if there were no fence
        for line in (*first._lines.values(), *second._lines.values()):
            await first._step(line)
    ended = await hall.state()
    calls = await hall.calls()
    assert calls[-1][1] == ended.queue.served
    took_ms = ended.now_ms - began.now_ms
    assert ended.queue.served - began.queue.served <= 10 * took_ms / 1_000 + 3


async def test_stopped_it_makes_room_for_the_other_at_once(
    hall: Hall, make_admission: MakeAdmission
) -> None:
    first, second = make_admission(), make_admission()
    await hall.publish()
    await first.run_once()
    await second.run_once()
    assert second.fence == 0
    await first.stop()
    await second.run_once()
    assert second.fence == 2


async def test_a_lease_that_was_lost_does_not_stop_the_line(
    hall: Hall, admission: Admission
) -> None:
    await hall.publish()
    await hall.join(5)
    await step(hall, admission)
    served = (await hall.state()).queue.served
    await hall.sale.commands.queue_call(hall.place, 70, served, [], 0, 0)  # before it was lost
    await step(hall, admission, 6)
    assert admission.fence == 71
    assert (await hall.state()).queue.served == 5


@pytest.mark.parametrize("off_ms", [HOUR_MS, -HOUR_MS])
async def test_a_worker_whose_clock_is_an_hour_off_changes_nothing(
    hall: Hall, admission: Admission, monkeypatch: pytest.MonkeyPatch, off_ms: int
) -> None:
    await hall.publish(opens_in_ms=HOUR_MS // 2, pre_queue_ms=2 * HOUR_MS)
    await hall.join(8)
    right, right_ns = time.time, time.time_ns
    monkeypatch.setattr(time, "time", lambda: right() + off_ms / 1000)
    monkeypatch.setattr(time, "time_ns", lambda: right_ns() + off_ms * 1_000_000)
    await step(hall, admission, 3)
    assert (await hall.state()).queue.drawn == -1  # it is not time
    document = unpack(cast("bytes", await hall.client.get(f"{hall.place}:queue")))
    document[b"opens"] = right_ns() // 1_000_000 - 1
    await hall.client.set(f"{hall.place}:queue", pack(document))
    admission._lines[hall.occurrence]._idle_until_s = 0
    began = (await hall.state()).now_ms
    await step(hall, admission, 3)
    state = await hall.state()
    assert state.queue.drawn == 8
    assert 1 <= state.queue.served <= 10 * (state.now_ms - began) / 1_000 + 1


async def test_ghosts_do_not_jam_the_line(hall: Hall, admission: Admission) -> None:
    await hall.publish(cap=3, claim_ms=120_000)
    await hall.join(12)
    for turn in range(4):
        await step(hall, admission, 6)
        assert (await hall.state()).queue.served == 3 * (turn + 1)
        await hall.advance(120_001)
        admission._lines[hall.occurrence]._purged_s = -1e9
    await step(hall, admission, 2)
    state = await hall.state()
    assert (state.called, state.queue.no_shows) == (0, 12)


async def test_those_who_left_are_passed_over_in_one_step(hall: Hall, admission: Admission) -> None:
    await hall.publish()
    buyers = await hall.join(200)
    await step(hall, admission, 1)
    served = (await hall.state()).queue.served
    for buyer in buyers[served:199]:
        await hall.sale.waiting.leave(buyer, hall.occurrence)
    await step(hall, admission, 2)
    assert (await hall.state()).queue.served == 200
    assert buyers[199] in await hall.called()


async def test_who_left_the_draw_is_passed_over_and_nobody_else(
    hall: Hall, admission: Admission
) -> None:
    await hall.publish(opens_in_ms=HOUR_MS, pre_queue_ms=2 * HOUR_MS, rate=1, rate_ms=60_000)
    buyers = await hall.join(40)
    for buyer in buyers[::3]:
        await hall.sale.waiting.leave(buyer, hall.occurrence)
    await hall.sale.waiting.command(hall.occurrence, "ada", "open")
    late = await hall.join(4)
    await step(hall, admission)
    served = (await hall.state()).queue.served
    gone = {*buyers[::3], *buyers[1:20:3], late[1]} - set(await hall.called())
    for buyer in gone - set(buyers[::3]):
        await hall.sale.waiting.leave(buyer, hall.occurrence)
    await hall.sale.waiting.command(hall.occurrence, "ada", "set", {"rate": 50, "rate_ms": 1_000})
    await step(hall, admission, 10)
    assert served < (await hall.state()).queue.served == 44
    assert set(await hall.called()) == set(hall.buyers) - gone


async def test_a_pause_stops_calling_and_nothing_runs_out(hall: Hall, admission: Admission) -> None:
    await hall.publish(claim_ms=1_000)
    await hall.join(20)
    await step(hall, admission, 2)
    before = await hall.state()
    await hall.sale.pause(hall.occurrence)
    for _ in range(5):
        await admission.run_once()
    during = await hall.state()
    assert (during.queue.served, during.called) == (before.queue.served, before.called)
    assert reason(hall) == "paused"
    await hall.sale.resume(hall.occurrence)
    packed = cast("bytes", await hall.client.get(f"{hall.place}:clock"))
    since, paused_ms, gated = unpack(packed)
    await hall.client.set(f"{hall.place}:clock", pack([since, paused_ms - STEP_MS, gated]))
    await admission.run_once()
    assert (await hall.state()).queue.served > before.queue.served


async def test_sold_out_stops_it_and_returned_stock_resumes_it(
    hall: Hall, admission: Admission
) -> None:
    await hall.publish()
    await hall.join(20)
    await step(hall, admission, 2)
    await hall.stock(free=0)
    before = (await hall.state()).queue.served
    await step(hall, admission, 5)
    assert (await hall.state()).queue.served == before
    assert reason(hall) == "sold_out"
    board = await hall.sale.waiting.boards.get(hall.occurrence, newest=True)
    assert board.serving.sold_out  # and all who wait are told
    await hall.stock(free=30)
    await step(hall, admission, 10)
    assert (await hall.state()).queue.served > before


async def test_while_all_is_in_carts_nobody_is_called_and_a_release_resumes(
    hall: Hall, admission: Admission
) -> None:
    await hall.publish(cap=2)
    await hall.join(6)
    await step(hall, admission, 3)
    await hall.stock(free=10)
    first, second = await hall.called()
    for buyer in (first, second):
        await hall.sale.waiting.enter(buyer, hall.occurrence)
    hold = await hall.hold(first, 6)
    await hall.hold(second, 4)
    await hall.sale.waiting.command(hall.occurrence, "ada", "set", {"cap": 100})
    await step(hall, admission, 10)
    assert (await hall.state()).queue.served == 2
    assert reason(hall) == "stock_spoken_for"
    await hall.sale.holds.release(first, hall.occurrence, hold)
    await step(hall, admission, 10)
    assert (await hall.state()).queue.served > 2


async def test_an_order_makes_room(hall: Hall, admission: Admission) -> None:
    await hall.publish(cap=1)
    await hall.join(3)
    for expected in (1, 2, 3):
        await step(hall, admission, 3)
        assert (await hall.state()).queue.served == expected
        (buyer,) = await hall.called()
        await hall.sale.waiting.enter(buyer, hall.occurrence)
        await hall.order(buyer, await hall.hold(buyer, 2, "standing-reduced"))
    await assert_conserved(hall.client, hall.occurrence)


async def test_a_slow_edge_slows_the_line(hall: Hall, admission: Admission) -> None:
    await hall.publish(cap=1_000)
    await hall.join(60)
    hall.pulse = Pulse(process=new_id(), hold_us=900_000)
    await step(hall, admission)
    assert reason(hall) == "edge_slow"
    began = await hall.state()
    await step(hall, admission, 10)
    ended = await hall.state()
    calls = ended.queue.served - began.queue.served
    a_second = 5  # what may be made up for after a delay
    assert 1 <= calls <= 5 * (ended.now_ms - began.now_ms) / 1_000 + a_second + 1


async def test_without_an_edge_one_is_called_at_a_time(hall: Hall, admission: Admission) -> None:
    await hall.publish()
    await hall.join(5)
    hall.pulse = None
    await step(hall, admission, 10)
    assert (await hall.state()).queue.served == 1
    assert reason(hall) == "edge_silent"


async def test_a_rate_that_is_changed_holds_from_the_next_step(
    hall: Hall, admission: Admission
) -> None:
    await hall.publish(cap=1_000)
    await hall.join(60)
    await step(hall, admission, 3)
    await hall.sale.waiting.command(hall.occurrence, "ada", "set", {"rate": 1, "rate_ms": 60_000})
    before = (await hall.state()).queue.served
    await step(hall, admission, 10)
    assert (await hall.state()).queue.served - before <= 1


async def test_a_room_that_is_switched_on_and_off_is_seen(hall: Hall, admission: Admission) -> None:
    await hall.publish(on=False)
    await admission.run_once()
    assert admission._lines == {}
    await hall.sale.waiting.command(hall.occurrence, "ada", "on")
    await look(admission)
    await hall.join(2)
    await step(hall, admission, 2)
    assert (await hall.state()).queue.served > 0
    await hall.sale.waiting.command(hall.occurrence, "ada", "off")
    await look(admission)
    await admission.run_once()
    assert admission._lines == {}
    assert hall.occurrence not in exposition()


def exposition() -> str:
    from prometheus_client import generate_latest

    return generate_latest().decode()


async def test_decisions_are_metrics_and_log_lines(
    hall: Hall, admission: Admission, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await hall.publish(cap=3)
    await hall.join(9)
    await step(hall, admission, 3)
    text = exposition()
    name = hall.occurrence
    assert f'onsale_admission_rate_max{{occurrence="{name}"}} 10.0' in text
    assert f'onsale_admission_calls_total{{occurrence="{name}"}} 3.0' in text
    assert f'onsale_admission_waiting{{occurrence="{name}"}}' in text
    assert "onsale_admission_leader 1.0" in text
    lines = [one for one in caplog.records if one.message.startswith("admission: ")]
    assert lines
    extra = vars(lines[0])
    wanted = {"rate", "allowed", "reason", "serving", "inside", "called", "occurrence"}
    assert wanted <= extra.keys()
    count = len(lines)
    await step(hall, admission, 4)
    lines = [one for one in caplog.records if one.message.startswith("admission: ")]
    assert len(lines) == count  # nothing has changed, or only this second
    await admission.stop()
    assert name not in exposition()


async def test_a_line_that_fails_does_not_stop_the_others(
    hall: Hall, admission: Admission, caplog: pytest.LogCaptureFixture
) -> None:
    await hall.publish()
    broken = hall.place
    await hall.publish()
    await hall.join(5)
    await hall.client.set(f"{broken}:queue", b"\xc1nonsense")
    await step(hall, admission, 8)
    assert (await hall.state()).queue.served == 5
    assert caplog.text.count("does not move") == 1


async def test_a_store_that_is_away_is_an_error_and_then_it_goes_on(
    hall: Hall, admission: Admission, monkeypatch: pytest.MonkeyPatch
) -> None:
    await hall.publish()
    await hall.join(5)
    await step(hall, admission)
    with monkeypatch.context() as patch:

        async def away(*_: Any, **__: Any) -> Any:
            raise RedisError("away")

        patch.setattr(lease, "take", away)
        with pytest.raises(RedisError):
            await admission.run_once()
    await step(hall, admission, 4)
    assert (await hall.state()).queue.served == 5
