"""Publication between two stores: killed anywhere, both agree in the end."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest
from redis.asyncio import Redis
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from engine.audit.rebuild import rebuild
from engine.catalogue.intents import publishing
from engine.catalogue.models.events import Event, Occurrence, PublicationIntent
from engine.catalogue.publish import publish_occurrence
from engine.catalogue.releases import Releases
from engine.catalogue.snapshot import latest_snapshot
from engine.core.errors import ConflictError
from engine.core.settings import Settings
from engine.platform.postgres.outbox import Outbox
from engine.platform.valkey import keys
from engine.queue.store import read_draw
from engine.sale.errors import OccurrenceUnknownError
from engine.sale.inventory import inspection, publication
from engine.sale.inventory.set_aside import blocked_seats
from engine.sale.inventory.snapshot import Snapshot
from engine.write_behind.consumer import connect_pool
from tests.catalogue.conftest import Loader
from tests.catalogue.documents import edited, event
from tests.catalogue.killing import KilledError, killed_at
from tests.conservation import assert_conserved

Factory = async_sessionmaker[AsyncSession]
MOMENTS = 9  # of an edit in one step: lock, intent, 2 calls, script, 2 calls, note, unlock


def _edit() -> dict[str, Any]:
    """A dearer balcony, more standing places, other seats set aside."""
    document = edited(event(), "ticket_types.2.price", "13.00")
    document = edited(document, "ticket_types.3.quantity", 15)
    return edited(document, "allocations.0.seats", ["Left-1-2", "Left-1-3"])


def _dearer() -> dict[str, Any]:
    return edited(event(), "ticket_types.2.price", "13.00")


class Hall:
    def __init__(self, factory: Factory, client: Redis, loader: Loader, occurrence: UUID) -> None:
        self.factory = factory
        self.client = client
        self.loader = loader
        self.occurrence = occurrence

    async def publish(self) -> str:
        done = await publish_occurrence(self.factory, self.client, self.occurrence)
        return done.outcome

    async def worker(self) -> None:
        await Releases(self.factory, self.client).run_once()

    async def in_line(self) -> Snapshot:
        """Return what both stores say is on sale; nothing may be under way."""
        async with self.factory() as session:
            count = await session.scalar(select(func.count()).select_from(PublicationIntent))
            assert count == 0
            _, stored = await latest_snapshot(session, self.occurrence)
            occurrence = await session.get_one(Occurrence, self.occurrence)
            assert occurrence.status == "published"
            assert (await session.get_one(Event, occurrence.event_id)).status == "published"
            told = await session.scalar(select(func.count()).select_from(Outbox))
            assert told == 1
        on_sale = await inspection.read_snapshot(self.client, self.occurrence.hex)
        assert stored == on_sale
        await assert_conserved(self.client, self.occurrence.hex)
        return on_sale

    async def catalogue(self) -> int:
        return int(await self.client.get(keys.CATALOGUE) or 0)


@pytest.fixture
async def hall(factory: Factory, redis_client: Redis, loader: Loader) -> Hall:
    occurrence = UUID((await loader(event())).occurrences[0].id)
    return Hall(factory, redis_client, loader, occurrence)


def _balcony(snapshot: Snapshot) -> int:
    return snapshot.ticket_types[2].tiers[0].price


@pytest.mark.parametrize("moment", range(1, MOMENTS + 1))
@pytest.mark.parametrize("after", ["same", "reverted", "worker", "worker, then reverted"])
async def test_an_edit_that_was_killed(
    hall: Hall, monkeypatch: pytest.MonkeyPatch, moment: int, after: str
) -> None:
    await hall.publish()
    await hall.loader(_dearer())
    before = await hall.catalogue()
    with killed_at(monkeypatch, moment), pytest.raises(KilledError):
        await hall.publish()
    begun = await _intents(hall.factory)
    if "worker" in after:
        await hall.worker()
        reached = _balcony(await hall.in_line()) == 1300
        assert reached or not begun
        if reached:
            assert await hall.catalogue() > before  # so that every process looks at it
    if "reverted" in after:
        await hall.loader(event())
        await hall.publish()
    if after == "same":
        await hall.publish()
    if after != "worker":
        assert _balcony(await hall.in_line()) == (1300 if after == "same" else 1250)
    # killed before its intent, the edit is loaded and nobody has published it
    behind = after == "worker" and _balcony(await hall.in_line()) == 1250
    assert await hall.publish() == ("republished" if behind else "unchanged")


async def _intents(factory: Factory) -> int:
    async with factory() as session:
        return await session.scalar(select(func.count()).select_from(PublicationIntent)) or 0


@pytest.mark.parametrize("moment", range(1, 8))
@pytest.mark.parametrize("after", ["same", "edited", "worker"])
async def test_a_first_publication_that_was_killed(
    hall: Hall, monkeypatch: pytest.MonkeyPatch, moment: int, after: str
) -> None:
    with killed_at(monkeypatch, moment), pytest.raises(KilledError):
        await hall.publish()
    keys_there = await hall.client.exists(
        f"{keys.prefix(await _shard(hall), hall.occurrence.hex)}:draw"
    )
    seed = (
        await read_draw(hall.client, await _shard(hall), hall.occurrence.hex)
        if keys_there
        else None
    )
    if after == "edited":
        await hall.loader(_dearer())
    if after == "worker" and await _intents(hall.factory):
        await hall.worker()
        await hall.in_line()
    await hall.publish()
    assert _balcony(await hall.in_line()) == (1300 if after == "edited" else 1250)
    again = await read_draw(hall.client, await _shard(hall), hall.occurrence.hex)
    assert seed is None or again == seed  # who saw the commitment can still check the draw
    assert await hall.publish() == "unchanged"


async def _shard(hall: Hall) -> int:
    async with hall.factory() as session:
        return (await session.get_one(Occurrence, hall.occurrence)).shard


@pytest.mark.parametrize("moment", range(2, 12))
@pytest.mark.parametrize("after", ["same", "reverted", "worker"])
async def test_seats_in_many_steps_that_were_killed(
    hall: Hall, monkeypatch: pytest.MonkeyPatch, moment: int, after: str
) -> None:
    monkeypatch.setattr(publication, "SEATS_A_STEP", 3)
    await hall.publish()
    sides = [
        f"{side}-{row}-{seat}"
        for side in ("Left", "Right")
        for row in (1, 2)
        for seat in range(1, 5)
    ]
    await hall.loader(edited(_dearer(), "allocations.0.seats", sides[2:14]))
    with killed_at(monkeypatch, moment), pytest.raises(KilledError):
        await hall.publish()
    if after == "worker":
        await hall.worker()
        await hall.in_line()
    if after == "reverted":
        await hall.loader(event())
    await hall.publish()
    on_sale = await hall.in_line()
    aside = {
        seat.guid
        for one in on_sale.sections
        for row in one.rows
        for seat in row.seats
        if seat.blocked
    }
    assert aside == ({"Left-1-1", "Left-1-2"} if after == "reverted" else set(sides[2:14]))
    assert _balcony(on_sale) == (1250 if after == "reverted" else 1300)


async def test_what_a_killed_edit_made_bigger_is_on_record_and_said_to_whoever_reverts(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    await hall.publish()
    await hall.loader(_edit())
    with killed_at(monkeypatch, 5), pytest.raises(KilledError):
        await hall.publish()  # it is on sale, and not in PostgreSQL
    await hall.loader(event())
    with pytest.raises(ConflictError, match="capacity 15 -> 10 cannot be lowered"):
        await hall.publish()
    assert (await hall.in_line()).quotas[1].capacity == 15
    await hall.loader(edited(event(), "ticket_types.3.quantity", 15))
    assert await hall.publish() == "republished"
    assert _balcony(await hall.in_line()) == 1250


async def test_what_redis_refuses_leaves_nothing_behind(hall: Hall) -> None:
    await hall.publish()
    on_sale = await hall.in_line()
    taken = f"{keys.prefix(await _shard(hall), hall.occurrence.hex)}:seats:0"
    kept = await hall.client.getrange(taken, 2, 2)
    await hall.loader(_edit())
    await hall.client.setrange(taken, 2, "s")  # Left-1-3 was sold meanwhile
    with pytest.raises(ConflictError, match="held or sold and cannot be blocked now: Left-1-3"):
        await hall.publish()
    await hall.client.setrange(taken, 2, kept)
    assert await hall.in_line() == on_sale
    assert await hall.publish() == "republished"


async def test_one_of_many_steps_that_is_refused_is_on_record(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publication, "SEATS_A_STEP", 3)
    await hall.publish()
    seats = [f"Left-{row}-{seat}" for row in (1, 2) for seat in range(1, 5)]
    await hall.loader(edited(event(), "allocations.0.seats", seats))
    last = f"{keys.prefix(await _shard(hall), hall.occurrence.hex)}:seats:0"
    at = 8  # Left-2-4, behind four seats, an end of row and three seats
    await hall.client.setrange(last, at, "s")
    before = await inspection.read_snapshot(hall.client, hall.occurrence.hex)
    with pytest.raises(ConflictError, match="Left-2-4"):
        await hall.publish()  # refused before the first step
    await hall.client.setrange(last, at, ".")
    assert await hall.in_line() == before

    check = publication._check_free

    async def sold_just_after(*arguments: Any) -> None:
        await check(*arguments)
        await hall.client.setrange(last, at, "s")

    monkeypatch.setattr(publication, "_check_free", sold_just_after)
    with pytest.raises(ConflictError, match="Left-2-4"):
        await hall.publish()  # the second step, of three seats, is refused
    await hall.client.setrange(last, at, ".")
    assert await hall.in_line() != before
    monkeypatch.setattr(publication, "_check_free", check)
    assert await hall.publish() == "republished"
    await hall.in_line()


async def test_a_sale_that_is_gone_with_its_intent_is_rebuilt_and_not_published_afresh(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    await hall.publish()
    await hall.loader(_edit())
    with killed_at(monkeypatch, 5), pytest.raises(KilledError):
        await hall.publish()
    await hall.client.flushall()
    with pytest.raises(OccurrenceUnknownError, match="onsale rebuild"):
        await hall.publish()
    await hall.worker()
    assert await hall.client.dbsize() == 0
    assert await _intents(hall.factory) == 1


async def test_a_rebuild_brings_back_what_somebody_may_have_bought_of(
    hall: Hall, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    await hall.publish()
    await hall.loader(_edit())
    with killed_at(monkeypatch, 5), pytest.raises(KilledError):
        await hall.publish()
    await hall.client.flushall()
    pool = await connect_pool(settings.database_url)
    await rebuild(hall.client, pool, settings, hall.occurrence.hex)
    await pool.close()
    rebuilt = await inspection.read_snapshot(hall.client, hall.occurrence.hex)
    assert (_balcony(rebuilt), rebuilt.quotas[1].capacity) == (1300, 15)
    assert list(blocked_seats(rebuilt)) == ["Left-1-2"]  # set aside before and after
    await hall.worker()
    assert list(blocked_seats(await hall.in_line())) == ["Left-1-2", "Left-1-3"]


async def test_workers_leave_a_publication_that_is_under_way_alone(hall: Hall) -> None:
    await hall.publish()
    await hall.loader(_edit())
    async with publishing(hall.factory, hall.occurrence):
        await asyncio.gather(*(hall.worker() for _ in range(3)))
        waiting = asyncio.create_task(hall.publish())
    assert await waiting == "republished"


async def test_many_publish_and_finish_at_once(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    await hall.publish()
    await hall.loader(_edit())
    with killed_at(monkeypatch, 2), pytest.raises(KilledError):
        await hall.publish()
    await asyncio.gather(*(hall.worker() for _ in range(4)), *(hall.publish() for _ in range(4)))
    assert _balcony(await hall.in_line()) == 1300
