"""The line, live: one broadcast for all, a word to those whose turn it is, nothing for the rest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import orjson
import pytest

from engine.platform.http.websocket.broadcast import SEND_BUFFER_MAX
from engine.platform.valkey.errors import StoreUnavailableError
from engine.queue.live import feed as queue_live
from engine.queue.live.feed import DEVICES_MAX, QueueCounts, QueueFeed
from engine.queue.live.serving import LineState, ServingView
from engine.queue.views import PlaceState, QueueView
from tests.http.running import eventually
from tests.http.wires import Wire

INTERVAL_S = 0.001
OCCURRENCE = "0" * 32


def view_of(state: PlaceState, number: int | None) -> QueueView:
    return QueueView(
        occurrence=OCCURRENCE,
        state=state,
        number=number,
        ahead=None,
        eta=None,
        chance=None,
        left=[],
        currency="EUR",
        sold_out=False,
        paused=False,
        opens_in_ms=None,
        claim_in_ms=None,
        leave_in_ms=None,
        ask_in_ms=1000,
        roster_index=None,
    )


class Reading:
    """The line at one moment."""

    def __init__(self, version: int, serving: ServingView) -> None:
        self.version = version
        self.serving = serving
        self.body = orjson.dumps({"version": version, "serving": serving.serving})


class Line:
    """What a feed reads: a line that a test moves."""

    def __init__(self) -> None:
        self.numbers: dict[str, int | None] = {}
        self.states: dict[str, PlaceState] = {}
        self.serving = 0
        self.version = 1
        self.drawn = True
        self.state: LineState = "open"
        self.readings = 0
        self.looked: list[list[str]] = []
        self.broken = False
        self.stale = 0  # so many looks do not see yet what was served

    def place(self, buyer: str, number: int | None) -> QueueView:
        self.numbers[buyer] = number
        self.states[buyer] = "waiting" if self.drawn else "pre-queue"
        return self.view(buyer)

    def view(self, buyer: str) -> QueueView:
        return view_of(self.states[buyer], self.numbers[buyer])

    def serve(self, upto: int) -> None:
        self.serving = upto
        self.version += 1
        for buyer, number in self.numbers.items():
            if number is not None and number <= upto and self.states[buyer] == "waiting":
                self.states[buyer] = "called"

    async def read(self) -> Reading:
        self.readings += 1
        if self.broken:
            raise StoreUnavailableError
        view = ServingView(
            version=self.version,
            state=self.state,
            serving=self.serving,
            places=len(self.numbers),
            waiting=0,
            calls_per_minute=60,
            left=[],
            currency="EUR",
            sold_out=False,
            opens_at="",
            opens_in_ms=None,
            joining_in_ms=None,
            drawn=self.drawn,
        )
        return Reading(self.version, view)

    async def look(self, buyers: Sequence[str]) -> list[QueueView | None]:
        if self.broken:
            raise StoreUnavailableError
        self.looked.append(list(buyers))
        if self.stale:
            self.stale -= 1
            return [view_of("waiting", self.numbers[buyer]) for buyer in buyers]
        return [self.view(buyer) if buyer in self.numbers else None for buyer in buyers]


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Line:
    monkeypatch.setattr(queue_live, "_LOOK_S", 0.01)
    return Line()


@pytest.fixture
def counts() -> QueueCounts:
    return QueueCounts()


@pytest.fixture
async def feed(line: Line, counts: QueueCounts) -> AsyncIterator[QueueFeed]:
    one = QueueFeed(line.read, line.look, INTERVAL_S, counts)
    yield one
    await one.close()


def states(wire: Wire) -> list[str]:
    return [message["state"] for message in wire.messages if message["kind"] == "you"]


async def told(wire: Wire, *expected: str) -> None:
    async def so() -> bool:
        return states(wire) == list(expected)

    await eventually(so)


async def turns(line: Line, count: int = 5) -> None:
    """Wait until the line was read some more times."""
    until = line.readings + count

    async def passed() -> bool:
        return line.readings >= until

    await eventually(passed)


async def test_first_comes_the_line_and_then_the_place(line: Line, feed: QueueFeed) -> None:
    wire = Wire()
    await feed.join(wire, line.place("a", 7), "a")
    first, second = wire.messages
    assert (first["kind"], first["serving"]) == ("serving", 0)
    assert (second["kind"], second["state"], second["number"]) == ("you", "waiting", 7)
    assert len(wire.written) == 1  # one packet


async def test_everybody_is_sent_the_same_bytes_only_when_the_line_has_changed(
    line: Line, feed: QueueFeed, counts: QueueCounts
) -> None:
    wires = [Wire() for _ in range(3)]
    for number, wire in enumerate(wires):
        await feed.join(wire, line.place(str(number), 100 + number), str(number))
    await turns(line)
    assert [len(wire.written) for wire in wires] == [1, 1, 1]
    line.serve(5)

    async def all_told() -> bool:
        return all(len(wire.written) == 2 for wire in wires)

    await eventually(all_told)
    assert wires[0].written[1] is wires[1].written[1] is wires[2].written[1]
    assert wires[0].messages[-1] == {"kind": "serving", "version": 2, "serving": 5}
    await turns(line)
    assert (counts.broadcasts, counts.told) == (1, 0)
    assert not line.looked  # nobody's turn has come


async def test_who_is_called_is_told_and_nobody_else(
    line: Line, feed: QueueFeed, counts: QueueCounts
) -> None:
    wires = {number: Wire() for number in range(1, 21)}
    for number, wire in wires.items():
        await feed.join(wire, line.place(str(number), number), str(number))
    line.serve(3)
    for number in (1, 2, 3):
        await told(wires[number], "waiting", "called")
    await turns(line)
    for number in range(4, 21):
        assert states(wires[number]) == ["waiting"]
    assert {buyer for buyers in line.looked for buyer in buyers} == {"1", "2", "3"}
    assert counts.told == 3


async def test_a_jump_over_many_numbers_finds_those_who_are_here(
    line: Line, feed: QueueFeed
) -> None:
    one, two = Wire(), Wire()
    await feed.join(one, line.place("a", 400_000), "a")
    await feed.join(two, line.place("b", 900_000), "b")
    line.serve(500_000)
    await told(one, "waiting", "called")
    await turns(line)
    assert states(two) == ["waiting"]


async def test_steps_of_other_devices_and_processes_are_told_to_the_end(
    line: Line, feed: QueueFeed
) -> None:
    phone, laptop = Wire(), Wire()
    await feed.join(phone, line.place("a", 1), "a")
    await feed.join(laptop, line.view("a"), "a")
    line.serve(1)
    line.states["a"] = "called"
    for wire in (phone, laptop):
        await told(wire, "waiting", "called")
    line.states["a"] = "inside"
    for wire in (phone, laptop):
        await told(wire, "waiting", "called", "inside")
    line.states["a"] = "done"
    for wire in (phone, laptop):
        await told(wire, "waiting", "called", "inside", "done")
        assert wire.goodbye == "this place is over"
    assert feed.listeners == 0


async def test_who_does_not_come_in_time_is_told(line: Line, feed: QueueFeed) -> None:
    wire = Wire()
    await feed.join(wire, line.place("a", 1), "a")
    line.serve(1)
    await told(wire, "waiting", "called")
    line.states["a"] = "expired"
    await told(wire, "waiting", "called", "expired")
    assert wire.goodbye == "this place is over"


async def test_a_place_that_was_given_up_elsewhere_ends_the_connection(
    line: Line, feed: QueueFeed
) -> None:
    wire = Wire()
    await feed.join(wire, line.place("a", 1), "a")
    line.serve(1)
    await told(wire, "waiting", "called")
    del line.numbers["a"]

    async def parted() -> bool:
        return wire.goodbye == "no place in this line"

    await eventually(parted)


async def test_who_joins_anew_elsewhere_is_told_by_the_new_number(
    line: Line, feed: QueueFeed
) -> None:
    wire = Wire()
    await feed.join(wire, line.place("a", 1), "a")
    line.numbers["a"] = 10
    line.serve(1)
    await turns(line)
    assert states(wire) == ["waiting"]
    line.serve(10)
    await told(wire, "waiting", "called")
    feed.leave(wire, "a")
    assert not feed._numbers


async def test_the_draw_gives_everybody_a_number_and_nobody_a_message(
    line: Line, feed: QueueFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_live, "_LOOKS_MAX", 4)
    line.drawn = False
    wires = [Wire() for _ in range(30)]
    for number, wire in enumerate(wires):
        await feed.join(wire, line.place(str(number), None), str(number))
    line.drawn = True
    for number in range(30):
        line.numbers[str(number)], line.states[str(number)] = 30 - number, "waiting"
    line.version += 1

    async def looked() -> bool:
        return sum(map(len, line.looked)) >= 30

    await eventually(looked)
    await turns(line)
    assert max(map(len, line.looked)) == 4
    assert sum(map(len, line.looked)) == 30
    assert all(states(wire) == ["pre-queue"] for wire in wires)
    line.serve(2)
    await told(wires[29], "pre-queue", "called")
    await told(wires[28], "pre-queue", "called")
    assert states(wires[0]) == ["pre-queue"]


async def test_who_joins_the_feed_with_a_look_from_before_the_draw_gets_a_number(
    line: Line, feed: QueueFeed
) -> None:
    early = Wire()
    line.drawn = False
    before = line.place("a", None)
    line.drawn = True
    line.numbers["a"], line.states["a"] = 3, "waiting"
    await feed.join(early, before, "a")
    line.serve(3)
    await told(early, "pre-queue", "called")


async def test_a_look_that_is_behind_the_broadcast_is_repeated(line: Line, feed: QueueFeed) -> None:
    wire = Wire()
    await feed.join(wire, line.place("a", 1), "a")
    line.stale = 3
    line.serve(1)
    await told(wire, "waiting", "called")
    assert len(line.looked) > 3


async def test_who_joins_the_feed_while_called_is_looked_after(line: Line, feed: QueueFeed) -> None:
    line.place("a", 1)
    before = line.view("a")
    line.serve(1)
    wire = Wire()
    await feed.join(wire, before, "a")  # read just before it was called
    await told(wire, "waiting", "called")


async def test_a_connection_of_a_place_that_is_over_ends_at_once(
    line: Line, feed: QueueFeed
) -> None:
    wire = Wire()
    line.place("a", 1)
    await feed.join(wire, view_of("done", 1), "a")
    assert [message["kind"] for message in wire.messages] == ["serving", "you"]
    assert wire.goodbye == "this place is over"
    assert feed.listeners == 0


async def test_a_closed_line_is_told_by_the_broadcast_and_opens_again(
    line: Line, feed: QueueFeed
) -> None:
    wire = Wire()
    await feed.join(wire, line.place("a", 5), "a")
    line.state, line.states["a"] = "closed", "closed"
    line.version += 1
    await turns(line)
    assert states(wire) == ["waiting"]
    line.state, line.states["a"] = "open", "waiting"
    line.serve(5)
    await told(wire, "waiting", "called")


async def test_failures_are_tried_again(line: Line, feed: QueueFeed) -> None:
    wire = Wire()
    await feed.join(wire, line.place("a", 1), "a")
    await turns(line)
    line.broken = True
    line.serve(1)
    await turns(line)
    line.broken = False
    await told(wire, "waiting", "called")
    assert wire.messages[-1]["kind"] in {"serving", "you"}
    assert any(message.get("serving") == 1 for message in wire.messages)


async def test_a_look_that_fails_forgets_nobody(line: Line, feed: QueueFeed) -> None:
    wire = Wire()
    failing = 2
    look = line.look

    async def sometimes(buyers: Sequence[str]) -> list[QueueView | None]:
        nonlocal failing
        if failing:
            failing -= 1
            raise StoreUnavailableError
        return await look(buyers)

    feed._look = sometimes
    await feed.join(wire, line.place("a", 1), "a")
    line.serve(1)
    await told(wire, "waiting", "called")
    assert failing == 0


async def test_slow_sockets_are_dropped(line: Line, feed: QueueFeed) -> None:
    slow, quick = Wire(), Wire()
    await feed.join(slow, line.place("a", 8), "a")
    await feed.join(quick, line.place("b", 9), "b")
    slow.unread = SEND_BUFFER_MAX + 1
    line.serve(1)

    async def moved() -> bool:
        return len(quick.written) == 2

    await eventually(moved)
    assert slow.aborted
    assert (feed.dropped, feed.listeners) == (1, 1)


async def test_devices_of_one_buyer_are_bounded(line: Line, feed: QueueFeed) -> None:
    wires = [Wire() for _ in range(DEVICES_MAX + 1)]
    line.place("a", 1)
    for wire in wires:
        await feed.join(wire, line.view("a"), "a")
    assert wires[0].goodbye == "open on too many devices"
    assert [wire.goodbye for wire in wires[1:]] == [None] * DEVICES_MAX
    assert feed.listeners == DEVICES_MAX
    feed.leave(wires[0], "a")  # its handler ends
    line.serve(1)
    for wire in wires[1:]:
        await told(wire, "waiting", "called")


async def test_nobody_listening_means_no_reading_and_nothing_kept(
    line: Line, feed: QueueFeed
) -> None:
    wires = [Wire(), Wire()]
    await feed.join(wires[0], line.place("a", 1), "a")
    await feed.join(wires[1], line.place("b", 2), "b")
    line.serve(1)
    await told(wires[0], "waiting", "called")
    feed.leave(wires[0], "a")
    feed.leave(wires[1], "b")

    async def ended() -> bool:
        return all(task.done() for task in feed._tasks.values())

    await eventually(ended)
    assert not feed._places
    assert not feed._numbers
    assert not feed._watched
    before = line.readings
    for _ in range(20):
        await asyncio.sleep(0)
    assert line.readings == before
    await feed.join(Wire(), line.view("b"), "b")
    await turns(line)


async def test_one_device_that_goes_leaves_the_other(line: Line, feed: QueueFeed) -> None:
    phone, laptop = Wire(), Wire()
    await feed.join(phone, line.place("a", 1), "a")
    await feed.join(laptop, line.view("a"), "a")
    feed.leave(phone, "a")
    line.serve(1)
    await told(laptop, "waiting", "called")
    assert states(phone) == ["waiting"]


async def test_a_rebuilt_line_begins_anew(line: Line, feed: QueueFeed) -> None:
    wire = Wire()
    line.serving = 50
    await feed.join(wire, line.place("a", 60), "a")
    line.numbers["a"] = 3
    line.serving = 0
    line.version += 1
    await turns(line)
    line.numbers["a"] = 60
    line.serve(60)
    await told(wire, "waiting", "called")
