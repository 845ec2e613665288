"""The live picture: one reading for all, snapshot and differences, slow sockets dropped."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.platform.http.websocket.broadcast import SEND_BUFFER_MAX, text_frame
from engine.platform.http.websocket.feeds import Feeds
from engine.platform.http.websocket.sockets import LiveSockets, block_of
from engine.platform.valkey.errors import OverloadedError, StoreUnavailableError
from engine.sale.inventory import live_map as live
from engine.sale.inventory.live_map import Feed, Picture, changed_seats
from engine.sale.inventory.schemas import CountView
from tests.http.running import SeatMapClient, eventually
from tests.http.wires import Wire

INTERVAL_S = 0.001


class Source:
    """What a feed reads: a picture that a test changes."""

    def __init__(self, *sections: bytes) -> None:
        self.sections = list(sections)
        self.version = 1
        self.free = 10
        self.readings = 0
        self.broken = False
        self.gate: asyncio.Event | None = None

    def take(self, section: int, position: int, state: bytes = b"h") -> None:
        string = self.sections[section]
        self.sections[section] = string[:position] + state + string[position + 1 :]
        self.version += 1

    async def __call__(self) -> Picture:
        self.readings += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.broken:
            raise StoreUnavailableError
        counts = {"a": CountView(free=self.free, state="available")}
        return Picture(self.version, tuple(self.sections), counts, {"quota:a": self.free})


@pytest.fixture
async def closing() -> AsyncIterator[contextlib.AsyncExitStack]:
    async with contextlib.AsyncExitStack() as stack:
        yield stack


def feed_of(source: Source, closing: contextlib.AsyncExitStack) -> Feed:
    feed = Feed(source, INTERVAL_S)
    closing.push_async_callback(feed.close)
    return feed


async def test_snapshot_and_differences_add_up(closing: contextlib.AsyncExitStack) -> None:
    source = Source(b"....|....", b"......")
    feed = feed_of(source, closing)
    wire = Wire()
    await feed.join(wire, None)
    for step in range(20):
        source.take(step % 2, step % 4, b"hs.x"[step % 4 :][:1])
        version = source.version

        async def told(version: int = version) -> bool:
            return bool(wire.messages[-1]["version"] == version)

        await eventually(told)
    client = SeatMapClient()
    for message in wire.messages:
        client.apply(message)
    assert [bytes(section) for section in client.sections] == source.sections
    assert [message["type"] for message in wire.messages][:2] == ["snapshot", "changes"]


async def test_everybody_is_sent_the_same_bytes(closing: contextlib.AsyncExitStack) -> None:
    source = Source(b"....")
    feed = feed_of(source, closing)
    wires = [Wire() for _ in range(3)]
    for wire in wires:
        await feed.join(wire, None)
    source.take(0, 0)

    async def told() -> bool:
        return all(len(wire.written) == 2 for wire in wires)

    await eventually(told)
    assert wires[0].written[1] is wires[1].written[1] is wires[2].written[1]


async def test_however_many_ask_one_reading_serves_them(closing: contextlib.AsyncExitStack) -> None:
    source = Source(b"....")
    source.gate = asyncio.Event()
    feed = feed_of(source, closing)
    asking = [asyncio.create_task(feed.body()) for _ in range(50)]
    await asyncio.sleep(0)
    source.gate.set()
    bodies = await asyncio.gather(*asking)
    assert source.readings == 1
    assert len(set(bodies)) == 1


async def test_nobody_listening_means_no_reading(closing: contextlib.AsyncExitStack) -> None:
    source = Source(b"....")
    feed = feed_of(source, closing)
    wire = Wire()
    await feed.join(wire, None)

    async def reads() -> bool:
        return source.readings > 3

    await eventually(reads)
    feed.leave(wire)
    await feed.close()
    before = source.readings
    for _ in range(20):
        await asyncio.sleep(0)
    assert source.readings == before


async def test_who_comes_back_gets_what_changed_meanwhile(
    closing: contextlib.AsyncExitStack,
) -> None:
    source = Source(b"........")
    feed = feed_of(source, closing)
    steady = Wire()
    await feed.join(steady, None)
    known: list[int] = []
    for position in range(6):
        source.take(0, position)
        version = source.version

        async def told(version: int = version) -> bool:
            return bool(steady.messages[-1]["version"] == version)

        await eventually(told)
        known.append(version)
    back = Wire()
    await feed.join(back, known[2])
    (first,) = back.messages[:1]
    assert (first["type"], first["from"], first["version"]) == ("changes", known[2], known[5])
    assert sorted(first["seats"]) == [[0, 3, "h"], [0, 4, "h"], [0, 5, "h"]]
    current = Wire()
    await feed.join(current, known[5])
    assert current.messages[0]["seats"] == []


@pytest.mark.parametrize("known", [0, 10_000_000])
async def test_a_version_that_is_not_known_any_more_or_not_yet_gets_a_snapshot(
    closing: contextlib.AsyncExitStack, known: int
) -> None:
    source = Source(b"........")
    source.version = 50
    feed = feed_of(source, closing)
    wire = Wire()
    await feed.join(wire, known)
    assert wire.messages[0]["type"] == "snapshot"


async def test_the_history_is_bounded(
    closing: contextlib.AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_HISTORY_SEATS_MAX", 10)
    source = Source(b"." * 8)
    feed = Feed(source, 0.0)
    await feed.picture()
    for step in range(live.HISTORY_MAX * 2):
        source.take(0, step % 8, b"hs"[step // 8 % 2 :][:1])
        await feed.picture()
    assert feed._history_seats == sum(len(entry.seats) for entry in feed._history) <= 10
    monkeypatch.setattr(live, "_HISTORY_SEATS_MAX", 10**9)
    for step in range(live.HISTORY_MAX * 2):
        source.take(0, step % 8, b"xs"[step // 8 % 2 :][:1])
        await feed.picture()
    assert len(feed._history) == live.HISTORY_MAX
    assert feed._history_seats == sum(len(entry.seats) for entry in feed._history)


@pytest.mark.parametrize("sections", [[b"....", b"...."], [b"....."], []])
async def test_another_map_begins_anew_for_everybody(
    closing: contextlib.AsyncExitStack, sections: list[bytes]
) -> None:
    source = Source(b"....")
    feed = feed_of(source, closing)
    wire = Wire()
    await feed.join(wire, None)
    source.sections, source.version = sections, 2

    async def told() -> bool:
        return len(wire.written) > 1

    await eventually(told)
    assert wire.messages[1]["type"] == "snapshot"
    assert wire.messages[1]["sections"] == [section.decode() for section in sections]


async def test_a_rebuilt_store_begins_anew_for_everybody(
    closing: contextlib.AsyncExitStack,
) -> None:
    source = Source(b"....")
    source.version = 100
    feed = feed_of(source, closing)
    wire = Wire()
    await feed.join(wire, None)
    source.take(0, 1, b"s")
    source.version = 1

    async def told() -> bool:
        return bool(wire.messages[-1]["version"] == 1)

    await eventually(told)
    assert wire.messages[-1]["type"] == "snapshot"


async def test_a_reading_that_fails_is_tried_again(closing: contextlib.AsyncExitStack) -> None:
    source = Source(b"....")
    feed = feed_of(source, closing)
    wire = Wire()
    await feed.join(wire, None)
    source.broken = True
    before = source.readings

    async def tried() -> bool:
        return source.readings > before + 2

    await eventually(tried)
    source.broken = False
    source.take(0, 0)

    async def told() -> bool:
        return len(wire.written) == 2

    await eventually(told)


async def test_a_slow_socket_is_dropped_and_the_others_are_not(
    closing: contextlib.AsyncExitStack,
) -> None:
    source = Source(b"....")
    feed = feed_of(source, closing)
    slow, quick, gone = Wire(), Wire(), Wire()
    for wire in (slow, quick, gone):
        await feed.join(wire, None)
    slow.unread = SEND_BUFFER_MAX + 1
    quick.unread = SEND_BUFFER_MAX
    gone.closing = True
    source.take(0, 0)

    async def told() -> bool:
        return len(quick.written) == 2

    await eventually(told)
    assert slow.aborted
    assert (len(slow.written), len(gone.written)) == (1, 1)
    assert (feed.dropped, feed.listeners) == (1, 1)


@given(
    before=st.lists(st.binary(max_size=20), max_size=4),
    data=st.data(),
)
def test_differences_lead_from_one_picture_to_the_other(
    before: list[bytes], data: st.DataObject
) -> None:
    after = [data.draw(st.binary(min_size=len(s), max_size=len(s))) for s in before]
    found = [bytearray(section) for section in before]
    for section, position, state in changed_seats(before, after):
        assert found[section][position] != ord(state)
        found[section][position] = ord(state)
    assert [bytes(section) for section in found] == after


@pytest.mark.parametrize("length", [0, 125, 126, 65_535, 65_536])
def test_frames_are_what_the_rfc_says(length: int) -> None:
    frame = text_frame(b"x" * length)
    head = {0: 2, 125: 2, 126: 4, 65_535: 4, 65_536: 10}[length]
    assert frame[0] == 0x81
    assert len(frame) == head + length
    if head == 4:
        assert frame[1] == 126
        assert int.from_bytes(frame[2:4], "big") == length
    elif head == 10:
        assert frame[1] == 127
        assert int.from_bytes(frame[2:10], "big") == length
    else:
        assert frame[1] == length


def test_feeds_that_nobody_watches_are_forgotten_when_there_are_too_many() -> None:
    feeds = Feeds(lambda occurrence: Feed(Source(occurrence.encode()), 1.0), 10)
    first = feeds.of("0")
    for number in range(300):
        feeds.of(str(number))
    assert feeds.of("0") is not first
    assert len(feeds._feeds) <= 256


def test_watched_feeds_are_never_forgotten() -> None:
    feeds = Feeds(lambda occurrence: Feed(Source(occurrence.encode()), 1.0), 10)
    for number in range(256):
        feeds.of(str(number))._audience.add(Wire())
    with pytest.raises(OverloadedError):
        feeds.of("one more")


async def test_plain_reads_never_depend_on_what_is_watched() -> None:
    """As many occurrences as may be are watched: all others are read as before."""
    feeds = Feeds(lambda occurrence: Feed(Source(occurrence.encode()), 1.0), 10)
    for number in range(256):
        feeds.of(str(number))._audience.add(Wire())
    for number in range(200, 600):
        feed = feeds.plain(str(number))
        assert (feed is feeds._feeds.get(str(number))) == (number < 256)
        assert (await feed.body())[1]
        assert feeds.plain(str(number)) is feed
    assert len(feeds._feeds) == 256
    assert len(feeds._plain) <= 256
    await feeds.close()


async def test_an_occurrence_that_was_only_asked_for_keeps_its_picture_when_it_is_watched() -> None:
    feeds = Feeds(lambda occurrence: Feed(Source(occurrence.encode()), 1.0), 10)
    asked = feeds.plain("a")
    assert feeds.of("a") is asked
    assert feeds.plain("a") is asked
    assert not feeds._plain
    await feeds.close()


def test_one_network_cannot_take_all_sockets() -> None:
    sockets = LiveSockets(10, 2)
    with sockets.room("192.0.2.1"), sockets.room("192.0.2.1"):
        with pytest.raises(OverloadedError), sockets.room("192.0.2.1"):
            pass
        with sockets.room("192.0.2.2"), sockets.room(None), sockets.room(None), sockets.room(None):
            pass
    with sockets.room("192.0.2.1"):
        pass
    assert not sockets._blocks


@pytest.mark.parametrize(
    ("address", "block"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:0:0:1", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("127.0.0.1", None),
        ("::1", None),
        ("", None),
        ("unknown", None),
        (None, None),
    ],
)
def test_sockets_are_counted_by_address(address: str | None, block: str | None) -> None:
    assert block_of(address) == block
