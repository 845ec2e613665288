"""What is set aside until a day goes on sale on that day, by itself."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from redis.asyncio import Redis
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from engine.catalogue.models.events import Occurrence, SeatMapSnapshot
from engine.catalogue.models.ticketing import Allocation
from engine.catalogue.publish import publish_occurrence
from engine.catalogue.releases import Releases
from engine.catalogue.snapshot import latest_snapshot
from engine.platform.valkey import keys
from engine.platform.valkey.connections import run_one
from engine.sale.inventory import inspection, publication
from engine.sale.inventory.snapshot import Snapshot
from tests.catalogue.conftest import Loader
from tests.catalogue.documents import edited, event
from tests.catalogue.killing import KilledError, killed_at
from tests.conservation import assert_conserved

Factory = async_sessionmaker[AsyncSession]
NOON = datetime(2031, 3, 1, 12, tzinfo=UTC)
PRESS, CREW = "Left-1-1", 4


def _document() -> dict[str, Any]:
    """Press seats until noon of 1 March; four standing places of the crew until 2 March."""
    document = edited(event(), "allocations.0.release_at", "2031-03-01T12:00:00Z")
    return edited(document, "allocations.1.release_at", "2031-03-02T12:00:00Z")


class Hall:
    """An occurrence on sale, and workers with clocks that are set by hand."""

    def __init__(self, factory: Factory, client: Redis, loader: Loader) -> None:
        self.factory = factory
        self.client = client
        self.loader = loader
        self.occurrence = UUID(int=0)
        self.now = NOON - timedelta(hours=1)

    def worker(self) -> Releases:
        return Releases(self.factory, self.client, lambda: self.now)

    async def load(self, document: dict[str, Any]) -> None:
        self.occurrence = UUID((await self.loader(document)).occurrences[0].id)

    async def publish(self) -> str:
        return (await publish_occurrence(self.factory, self.client, self.occurrence)).outcome

    async def place(self) -> str:
        async with self.factory() as session:
            shard = (await session.get_one(Occurrence, self.occurrence)).shard
        return keys.prefix(shard, self.occurrence.hex)

    async def on_sale(self) -> Snapshot:
        """Return what both stores say is on sale."""
        async with self.factory() as session:
            _, stored = await latest_snapshot(session, self.occurrence)
        on_sale = await inspection.read_snapshot(self.client, self.occurrence.hex)
        assert stored == on_sale
        await assert_conserved(self.client, self.occurrence.hex)
        return on_sale

    async def aside(self) -> tuple[set[str], int]:
        """Return the seats and the standing places that are set aside."""
        on_sale = await self.on_sale()
        rows = [row for section in on_sale.sections for row in section.rows]
        seats = {seat.guid for row in rows for seat in row.seats if seat.blocked}
        return seats, on_sale.quotas[1].blocked

    async def statuses(self) -> list[str]:
        async with self.factory() as session:
            return list(await session.scalars(select(Allocation.status).order_by(Allocation.code)))

    async def versions(self) -> int:
        async with self.factory() as session:
            return await session.scalar(select(func.count()).select_from(SeatMapSnapshot)) or 0


@pytest.fixture
async def hall(factory: Factory, redis_client: Redis, loader: Loader) -> Hall:
    hall = Hall(factory, redis_client, loader)
    await hall.load(_document())
    await hall.publish()
    return hall


async def test_each_allocation_goes_on_sale_at_its_own_time_and_once(hall: Hall) -> None:
    worker = hall.worker()
    assert await worker.run_once() == 0
    assert await hall.aside() == ({PRESS, "Left-1-2"}, CREW)
    hall.now = NOON
    assert await worker.run_once() == 1
    assert await hall.aside() == (set(), CREW)
    assert await hall.statuses() == ["active", "released"]
    assert (await worker.run_once(), await hall.versions()) == (0, 2)
    hall.now = NOON + timedelta(days=2)
    assert await worker.run_once() == 1
    assert await hall.aside() == (set(), 0)
    assert (await worker.run_once(), await hall.versions()) == (0, 3)
    counters = await inspection.read_counters(hall.client, await _shard(hall), hall.occurrence.hex)
    assert {counter.key: counter.free for counter in counters}["quota:standing"] == 10
    assert [counter.blocked for counter in counters] == [0] * len(counters)


async def _shard(hall: Hall) -> int:
    return int((await hall.place())[2:4])


async def test_what_is_released_is_not_set_aside_again_by_loading_and_publishing(
    hall: Hall,
) -> None:
    hall.now = NOON
    await hall.worker().run_once()
    assert (await hall.loader(_document())).unchanged
    await hall.load(edited(_document(), "ticket_types.2.price", "13.00"))
    # publication goes by the real clock, for which noon is still to come
    assert await hall.publish() == "republished"
    assert await hall.aside() == (set(), CREW)


async def test_what_is_put_off_by_an_edit_is_set_aside_again(hall: Hall) -> None:
    hall.now = NOON
    await hall.worker().run_once()
    later = edited(_document(), "allocations.0.release_at", "2031-03-05T12:00:00Z")
    await hall.load(later)
    await hall.publish()
    assert await hall.aside() == ({PRESS, "Left-1-2"}, CREW)
    assert await hall.worker().run_once() == 0
    hall.now = NOON + timedelta(days=5)
    await hall.worker().run_once()
    assert await hall.aside() == (set(), 0)


async def test_edits_that_were_loaded_and_not_published_are_not_released(hall: Hall) -> None:
    await hall.load(edited(_document(), "ticket_types.2.price", "13.00"))
    hall.now = NOON
    await hall.worker().run_once()
    assert await hall.aside() == (set(), CREW)
    assert (await hall.on_sale()).ticket_types[2].tiers[0].price == 1250
    assert await hall.publish() == "republished"
    assert (await hall.on_sale()).ticket_types[2].tiers[0].price == 1300


async def test_many_workers_release_once(hall: Hall) -> None:
    hall.now = NOON
    done = await asyncio.gather(*(hall.worker().run_once() for _ in range(6)))
    assert sum(done) == 1
    assert (await hall.aside(), await hall.versions()) == ((set(), CREW), 2)


@pytest.mark.parametrize("moment", range(1, 11))
async def test_a_worker_that_was_killed_is_followed_by_another(
    hall: Hall, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    hall.now = NOON + timedelta(days=2)
    with killed_at(monkeypatch, moment), pytest.raises(KilledError):
        await hall.worker().run_once()
    await hall.worker().run_once()
    assert await hall.aside() == (set(), 0)
    assert await hall.statuses() == ["released", "released"]
    assert await hall.worker().run_once() == 0


@pytest.mark.parametrize("moment", [2, 5, 8])
async def test_a_person_may_publish_after_a_worker_that_was_killed(
    hall: Hall, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    hall.now = NOON + timedelta(days=2)
    with killed_at(monkeypatch, moment), pytest.raises(KilledError):
        await hall.worker().run_once()
    await hall.load(edited(_document(), "ticket_types.2.price", "13.00"))
    await hall.publish()
    await hall.worker().run_once()
    assert await hall.aside() == (set(), 0)
    assert (await hall.on_sale()).ticket_types[2].tiers[0].price == 1300


async def test_a_paused_sale_is_released_too(hall: Hall) -> None:
    place = await hall.place()
    assert (await run_one(hall.client, "sale_pause", place, ["tests"]))[0] == 0
    hall.now = NOON
    await hall.worker().run_once()
    assert await hall.aside() == (set(), CREW)


@pytest.mark.parametrize("status", ["cancelled", "completed", "draft"])
async def test_what_is_not_on_sale_is_left_alone(hall: Hall, status: str) -> None:
    async with hall.factory.begin() as session:
        await session.execute(update(Occurrence).values(status=status))
    hall.now = NOON
    assert await hall.worker().run_once() == 0
    assert await hall.aside() == ({PRESS, "Left-1-2"}, CREW)


async def test_after_the_end_of_the_sale_nothing_is_released(hall: Hall) -> None:
    hall.now = datetime(2031, 5, 1, 17, tzinfo=UTC)
    assert await hall.worker().run_once() == 0
    assert await hall.versions() == 1


async def test_one_occurrence_that_redis_lost_does_not_stop_the_others(
    hall: Hall, loader: Loader, caplog: pytest.LogCaptureFixture
) -> None:
    await hall.client.flushall()
    lost = hall.occurrence
    await hall.load(edited(_document(), "event.slug", "macbeth"))
    await hall.publish()
    hall.now = NOON
    worker = hall.worker()
    for _ in range(3):
        await worker.run_once()
    assert await hall.aside() == (set(), CREW)
    said = [record.message for record in caplog.records if "left out" in record.message]
    assert [lost.hex in message for message in said] == [True]


async def test_seats_of_many_steps_are_released_and_the_sale_can_be_published_again(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publication, "SEATS_A_STEP", 3)
    seats = [f"Left-{row}-{seat}" for row in (1, 2) for seat in range(1, 5)]
    await hall.load(edited(_document(), "allocations.0.seats", seats))
    await hall.publish()
    assert await hall.aside() == (set(seats), CREW)
    hall.now = NOON
    assert await hall.worker().run_once() == 1
    assert await hall.aside() == (set(), CREW)
    await hall.load(edited(_document(), "ticket_types.2.price", "13.00"))
    assert await hall.publish() == "republished"
