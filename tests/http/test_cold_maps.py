"""The first map of a stadium is made beside everything else, and once."""

from __future__ import annotations

import asyncio
import gzip
import threading
import time
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from engine.catalogue.limits import laid_out
from engine.catalogue.stadium import stadium
from engine.core.ids import new_id
from engine.sale.inventory import layout, packed_snapshots, publication, seat_maps
from engine.sale.inventory import occurrences as known
from engine.sale.inventory.occurrences import Occurrences
from engine.sale.inventory.packed_snapshots import decode_snapshot
from engine.sale.inventory.schemas import SeatMapView
from engine.sale.inventory.seat_maps import SeatMaps, make_map
from engine.sale.inventory.snapshot import Snapshot
from tests.http.running import SHARD, make_snapshot

SEATS = 20_000


@pytest.fixture(scope="module")
def bowl() -> Snapshot:
    made = stadium(SEATS, slug="bowl", occurrences=1, general=0)
    assert made.plan is not None
    return laid_out(made.plan, made.kinds)


def test_a_snapshot_in_parts_is_the_whole(bowl: Snapshot) -> None:
    for snapshot in (bowl, make_snapshot(), replace(bowl, sections=())):
        assert decode_snapshot(msgspec.msgpack.encode(snapshot)) == snapshot


@pytest.mark.parametrize("packed", [b"", b"\xc1", b"\x05", b"\x80", b"\xa3abc"])
@pytest.mark.parametrize("filled", [False, True])
def test_what_is_no_snapshot_is_refused_in_parts_too(packed: bytes, filled: bool) -> None:
    with pytest.raises(msgspec.MsgspecError):
        decode_snapshot(packed + b"\xc1" * 20_000 * filled)


def test_a_map_in_parts_is_the_whole(bowl: Snapshot) -> None:
    made = make_map(bowl)
    view = msgspec.json.decode(made.body, type=SeatMapView)
    assert view.version == made.version
    assert gzip.decompress(made.compressed) == made.body
    for section, shown in zip(bowl.sections, view.sections, strict=True):
        seats = {at: seat.guid for at, _, seat in layout.positions(section)}
        rows = ((row.at + i, seat.guid) for row in shown.rows for i, seat in enumerate(row.seats))
        assert dict(rows) == seats
    assert make_map(bowl) == made
    assert make_map(replace(bowl, focus_x=5.0, focus_y=1.0)).version != made.version
    assert make_map(make_snapshot(sections=(), categories=())).body.endswith(b'"sections":[]}')


async def test_a_map_is_made_once_and_few_at_a_time(
    bowl: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    making, most, calls = 0, 0, 0
    lock = threading.Lock()
    make = seat_maps.make_map

    def counted(snapshot: Snapshot) -> Any:
        nonlocal making, most, calls
        with lock:
            making, calls = making + 1, calls + 1
            most = max(most, making)
        try:
            return make(snapshot)
        finally:
            with lock:
                making -= 1

    monkeypatch.setattr(seat_maps, "make_map", counted)
    maps = SeatMaps()
    others = [replace(bowl, occurrence=new_id()) for _ in range(3)]
    await asyncio.gather(*(maps.of(one) for one in others for _ in range(5)))
    assert (calls, most) == (3, 1)


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The threads that let others run, each time they do."""
    found: list[str] = []

    def noted() -> None:
        found.append(threading.current_thread().name)
        time.sleep(0)

    for module in (packed_snapshots, seat_maps, known):
        monkeypatch.setattr(module, "let_others_run", noted)
    return found


async def test_others_are_answered_while_a_stadium_is_made(
    bowl: Snapshot, redis_client: Redis, parts: list[str]
) -> None:
    house, stage = replace(bowl, occurrence=new_id()), make_snapshot()
    await publication.publish(redis_client, house, shard=SHARD)
    await publication.publish(redis_client, stage, shard=SHARD)
    occurrences = Occurrences(redis_client)
    await occurrences._refresh()
    turns = 0

    async def cold() -> None:
        await SeatMaps().of((await occurrences.get(house.occurrence)).snapshot)

    building = asyncio.create_task(cold())
    await asyncio.sleep(0)
    while not building.done():
        turns += 1
        await asyncio.sleep(0)
    await building
    # decoded, indexed and shown section by section, never in the thread of the event loop
    assert len(parts) >= 3 * len(bowl.sections)
    assert threading.main_thread().name not in parts
    assert turns > len(bowl.sections)


async def test_a_small_house_does_not_wait_behind_a_stadium(
    bowl: Snapshot, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    house, stage = replace(bowl, occurrence=new_id()), make_snapshot()
    await publication.publish(redis_client, house, shard=SHARD)
    await publication.publish(redis_client, stage, shard=SHARD)
    began, go_on = threading.Event(), threading.Event()
    make = known.Published

    def slow(snapshot: Snapshot, shard: int, version: int) -> Any:
        if snapshot.occurrence == house.occurrence:
            began.set()
            go_on.wait(30)
        return make(snapshot, shard, version)

    monkeypatch.setattr(known, "Published", slow)
    occurrences = Occurrences(redis_client)
    await occurrences._refresh()
    first = [asyncio.create_task(occurrences.get(house.occurrence)) for _ in range(2)]
    assert await asyncio.to_thread(began.wait, 30)
    found = await asyncio.wait_for(occurrences.get(stage.occurrence), 20)
    assert found.snapshot == stage
    assert not any(task.done() for task in first)
    go_on.set()
    one, other = await asyncio.gather(*first)
    assert one is other
