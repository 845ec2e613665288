"""Each line has its own pace: neither many idle rooms nor slow and broken ones delay another."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from typing import Any

import msgspec
import pytest

from engine.core.ids import new_id
from engine.platform.valkey import keys
from engine.queue import store as waiting
from engine.queue.admission import leader as admission_module
from engine.queue.admission.edge_reports import report_pulse
from engine.queue.admission.leader import Admission
from engine.queue.admission.line import Line
from engine.sale.inventory import publication
from engine.sale.inventory.snapshot import Room, Snapshot
from tests.houses import small_house
from tests.persist.conftest import until
from tests.workers.test_admission import (
    HOUR_MS,
    SHARD,
    STEP_MS,
    Hall,
    MakeAdmission,
    admission,
    hall,
    look,
    make_admission,
    reason,
    step,
)

__all__ = ["admission", "hall", "make_admission"]

IDLE = 1_600


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each line was stepped."""
    counted: Counter[str] = Counter()
    take = Line.step

    async def step_(line: Line, *arguments: Any) -> int:
        counted[line.occurrence] += 1
        return await take(line, *arguments)

    monkeypatch.setattr(Line, "step", step_)
    return counted


async def idle_rooms(hall: Hall, count: int, **room: Any) -> list[Snapshot]:
    """Rooms in front of which nobody waits, published in one go: copies of the first."""
    opens_at = time.time_ns() // 1_000_000 + room.pop("opens_in_ms", -1)
    model = small_house(room=Room(rate=10, rate_ms=1_000, opens_at=opens_at, **room))
    await publication.publish(hall.client, model, shard=0)
    place = keys.prefix(0, model.occurrence)
    documents: dict[str, Any] = {}
    async for name in hall.client.scan_iter(match=f"{place}:*", count=10_000):
        documents[name.decode().removeprefix(place)] = await hall.client.dump(name)
    made = [model]
    async with hall.client.pipeline(transaction=False) as pipe:
        for number in range(1, count):
            copy = msgspec.structs.replace(model, occurrence=new_id())
            shard = number % keys.SHARD_COUNT
            place = keys.prefix(shard, copy.occurrence)
            for name, document in documents.items():
                pipe.restore(place + name, 0, document)
            pipe.set(f"{place}:snapshot", msgspec.msgpack.encode(copy))
            pipe.hset(keys.OCCURRENCES, copy.occurrence, shard)
            made.append(copy)
        pipe.incr(keys.CATALOGUE)
        await pipe.execute()
    await seen(hall, made[-1])
    return made


async def seen(hall: Hall, snapshot: Snapshot) -> None:
    async def known() -> bool:
        return snapshot.occurrence in hall.sale.known.shards()

    await until(known)


async def crowd(hall: Hall) -> None:
    """More people than are called in a test."""
    await asyncio.gather(*(hall.join(1) for _ in range(400)))


async def rounds(hall: Hall, admission: Admission, count: int) -> None:
    """Rounds of the service, as :func:`step`, with one report of the edge for all."""
    assert hall.pulse is not None
    await report_pulse(hall.client, hall.pulse)
    for _ in range(count):
        await hall.advance(STEP_MS)
        await admission.run_once()


async def test_idle_rooms_do_not_slow_a_running_line(
    hall: Hall, admission: Admission, steps: Counter[str]
) -> None:
    await hall.publish(rate=50, rate_ms=1_000, cap=10_000)
    await crowd(hall)
    began = await hall.state()
    await rounds(hall, admission, 10)
    alone = await hall.state()
    await idle_rooms(hall, IDLE)
    await look(admission)
    steps.clear()
    await rounds(hall, admission, 10)
    among = await hall.state()
    assert len(admission._lines) == IDLE + 1
    assert steps[hall.occurrence] == 10  # in every round
    calls_alone = alone.queue.served - began.queue.served
    assert among.queue.served - alone.queue.served >= 0.9 * calls_alone
    idle = sum(steps.values()) - 10
    assert idle <= 10 * admission_module._CALM_MAX
    assert max(count for name, count in steps.items() if name != hall.occurrence) == 1


async def test_idle_rooms_come_to_rest_and_cost_a_glance(
    hall: Hall, admission: Admission, steps: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await idle_rooms(hall, 40)
    await until(lambda: _all_rest(admission, 40))
    assert {steps[snapshot.occurrence] for snapshot in made} == {1}
    glances: list[int] = []
    glance = waiting.glance

    async def counted(client: Any, places: Any) -> Any:
        glances.append(len(places))
        return await glance(client, places)

    monkeypatch.setattr(waiting, "glance", counted)
    monkeypatch.setattr(admission_module, "_GLANCES_MAX", 16)
    for _ in range(9):
        await admission.run_once()
    assert glances == [16, 16, 8] * 3
    assert {steps[snapshot.occurrence] for snapshot in made} == {1}


async def _all_rest(admission: Admission, count: int) -> bool:
    await admission.run_once()
    lines = admission._lines.values()
    return len(lines) == count and all(line._rest is not None for line in lines)


async def test_who_joins_where_nobody_waited_is_called_next(
    hall: Hall, admission: Admission
) -> None:
    await idle_rooms(hall, 30)
    await hall.publish()
    await until(lambda: _all_rest(admission, 31))
    await hall.join(1)
    await step(hall, admission)
    assert (await hall.state()).called == 1


@pytest.mark.parametrize("change", ["open", "time", "off", "publish"])
async def test_a_line_at_rest_stirs_when_something_is_done_to_it(
    hall: Hall,
    admission: Admission,
    steps: Counter[str],
    change: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await hall.publish(opens_in_ms=HOUR_MS, pre_queue_ms=2 * HOUR_MS)
    await hall.join(3)
    await step(hall, admission, 2)
    line = admission._lines[hall.occurrence]
    assert line.resting
    assert reason(hall) == "not_open"
    if change == "open":
        await hall.sale.waiting.command(hall.occurrence, "ada", "open")
    elif change == "time":  # the store's clock gets there, and nobody has done anything
        glance = waiting.glance

        async def later(client: Any, places: Any) -> Any:
            found, wall_ms = await glance(client, places)
            return found, wall_ms + HOUR_MS

        monkeypatch.setattr(waiting, "glance", later)
        before = steps[hall.occurrence]
        await admission.run_once()
        assert steps[hall.occurrence] == before + 1
        assert line.resting  # it has looked again: by the store's clock it is early
        assert line._rest is not None
        state = await hall.state()
        assert line._rest.until_ms < state.queue.opens
        return
    elif change == "off":
        await hall.sale.waiting.command(hall.occurrence, "ada", "off")
        await look(admission)
        await step(hall, admission)
        assert admission._lines == {}
        return
    else:
        line.wake_for(99)
        assert line.stirs(("x", "y"), 0)  # type: ignore[arg-type]
        assert line._rest is None
        return
    await step(hall, admission, 3)
    assert (await hall.state()).queue.served > 0


async def test_a_paused_line_rests_and_goes_on_when_it_is_resumed(
    hall: Hall, admission: Admission
) -> None:
    await hall.publish()
    await hall.join(9)
    await hall.sale.pause(hall.occurrence)
    await admission.run_once()
    assert admission._lines[hall.occurrence].resting
    assert reason(hall) == "paused"
    await hall.sale.resume(hall.occurrence)
    await step(hall, admission, 3)
    assert (await hall.state()).queue.served > 0


async def test_slow_lines_delay_no_other(
    hall: Hall, admission: Admission, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission._turns, "_patience_s", 0.05)
    await idle_rooms(hall, 12)
    await hall.publish(rate=50, rate_ms=1_000, cap=10_000)
    await crowd(hall)
    over = asyncio.Event()
    slow = 0
    take = Line.step

    async def step_(line: Line, *arguments: Any) -> int:
        nonlocal slow
        if line.occurrence != hall.occurrence:
            slow += 1
            await over.wait()
        return await take(line, *arguments)

    monkeypatch.setattr(Line, "step", step_)
    await rounds(hall, admission, 3)
    before = await hall.state()
    await rounds(hall, admission, 10)
    after = await hall.state()
    took_ms = after.now_ms - before.now_ms
    assert after.queue.served - before.queue.served >= 0.9 * 50 * 10 * STEP_MS / 1_000
    assert after.queue.served - before.queue.served <= 50 * took_ms / 1_000 + 50
    assert slow <= 12  # none of them twice
    over.set()


async def test_many_broken_lines_delay_no_other_and_are_tried_seldom(
    hall: Hall, admission: Admission, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    broken = await idle_rooms(hall, 30)
    for snapshot in broken:
        shard = hall.sale.known.shards()[snapshot.occurrence]
        await hall.client.set(f"{keys.prefix(shard, snapshot.occurrence)}:queue", b"\xc1nonsense")
    await hall.publish(rate=50, rate_ms=1_000, cap=10_000)
    await crowd(hall)
    await rounds(hall, admission, 2)
    before = (await hall.state()).queue.served
    await rounds(hall, admission, 10)
    assert (await hall.state()).queue.served - before >= 0.9 * 50 * 10 * STEP_MS / 1_000
    assert caplog.text.count("does not move") <= 30


async def test_a_look_that_fails_leaves_the_lines_as_they_are(
    hall: Hall,
    admission: Admission,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await hall.publish()
    await hall.join(20)
    await step(hall, admission)

    async def broken(*_: Any) -> Any:
        raise OSError("away")

    monkeypatch.setattr(waiting, "read_rooms_on", broken)
    before = (await hall.state()).queue.served
    for _ in range(4):
        await look(admission)
        await step(hall, admission)
    assert (await hall.state()).queue.served > before
    assert caplog.text.count("cannot be looked at") == 1


async def test_a_new_leader_begins_with_those_who_have_somebody_to_call(
    hall: Hall, make_admission: MakeAdmission, steps: Counter[str]
) -> None:
    await idle_rooms(hall, 100)
    await hall.publish()
    await hall.join(5)
    await idle_rooms(hall, 100)
    await step(hall, make_admission())
    assert steps[hall.occurrence] == 1
    assert (await hall.state()).queue.served > 0
    assert sum(steps.values()) <= 1 + admission_module._CALM_MAX


async def test_boards_that_are_asked_for_stay(hall: Hall) -> None:
    boards = hall.sale.waiting.boards
    boards._boards_max = 8
    rooms = await idle_rooms(hall, 20)
    await hall.publish()
    await boards.get(hall.occurrence)
    kept = boards._kept[hall.occurrence]
    for snapshot in rooms:
        await boards.get(snapshot.occurrence)
        assert boards.at_hand(hall.occurrence) is not None or kept.reading is not None
        assert boards._kept[hall.occurrence] is kept
        assert len(boards._kept) <= 8
    assert list(boards._kept)[-1] == hall.occurrence
    assert rooms[-1].occurrence in boards._kept
    assert rooms[0].occurrence not in boards._kept


async def test_many_boards_read_at_once_are_all_answered(hall: Hall) -> None:
    boards = hall.sale.waiting.boards
    boards._boards_max = 4
    rooms = await idle_rooms(hall, 20)
    found = await asyncio.gather(*(boards.get(one.occurrence) for one in rooms))
    assert [board.occurrence for board in found] == [one.occurrence for one in rooms]
    await boards.get(rooms[0].occurrence)
    assert len(boards._kept) <= 4


async def test_a_glance_reads_what_the_board_was_read_of(hall: Hall) -> None:
    made = await idle_rooms(hall, 5)
    await hall.publish()
    shards = hall.sale.known.shards()
    names = [one.occurrence for one in made] + [hall.occurrence]
    places = [keys.prefix(shards.get(name, SHARD), name) for name in names]
    found, wall_ms = await waiting.glance(hall.client, [*places, "{s03}:" + new_id()])
    assert found[-1] == (None, None)
    for name, packed in zip(names, found, strict=False):
        state = await waiting.read_queue(hall.client, shards.get(name, SHARD), name)
        assert state.packed == packed
        assert state.wall_ms >= wall_ms
