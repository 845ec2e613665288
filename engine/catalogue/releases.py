"""What becomes due in the catalogue by itself: publications that were begun, and releases.

An allocation with ``release_at`` goes on sale when that time comes. Nothing else
does: what was loaded since the last publication waits for the next one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from msgspec.structs import replace
from redis.asyncio import Redis
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from engine.catalogue import intents
from engine.catalogue.intents import BusyError, Sessions, publishing
from engine.catalogue.models.events import Occurrence, PublicationIntent
from engine.catalogue.models.ticketing import Allocation, AllocationSeat
from engine.catalogue.models.ticketing import Quota as QuotaRecord
from engine.catalogue.models.venues import Seat
from engine.catalogue.snapshot import latest_snapshot, still_aside
from engine.core.errors import ConflictError, OnsaleError
from engine.platform.jobs.failing import FailingOccurrences
from engine.platform.postgres.session import unavailable_named
from engine.sale.errors import OccurrenceUnknownError
from engine.sale.inventory.set_aside import blocked_seats, with_blocked
from engine.sale.inventory.snapshot import Quota, Snapshot

_OCCURRENCES_MAX: Final = 1_000  # in one round

log = logging.getLogger(__name__)


class Releases:
    """What a worker does every two seconds; any number of them may.

    ``clock`` returns the time, with a zone.
    """

    def __init__(
        self,
        sessions: Sessions,
        client: Redis,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        engine: AsyncEngine = sessions.kw["bind"]
        self._database_url = engine.url.render_as_string(hide_password=True)
        self._sessions = sessions
        self._client = client
        self._clock = clock
        self._failing = FailingOccurrences("publication")

    async def run_once(self) -> int:
        """Finish what was begun, and release what is due. Returns how many occurrences changed.

        One in which that fails does not stop the others, and is tried again.
        Raises ``DatabaseUnavailableError``, ``RedisError``.
        """
        with unavailable_named(self._database_url):
            return await self._round(self._clock())

    async def _round(self, now: datetime) -> int:
        changed = 0
        for occurrence_id in await self._due(now):
            try:
                async with publishing(self._sessions, occurrence_id, wait=False) as sessions:
                    changed += await self._advance(sessions, occurrence_id, now)
            except BusyError:
                continue
            except OnsaleError as error:
                self._failing.failed(occurrence_id.hex, error)
            else:
                self._failing.went_well(occurrence_id.hex)
        return changed

    async def _due(self, now: datetime) -> list[UUID]:
        async with self._sessions() as session:
            begun = await session.scalars(
                select(PublicationIntent.occurrence_id).limit(_OCCURRENCES_MAX)
            )
            due = await session.scalars(
                select(Allocation.occurrence_id)
                .distinct()
                .join(Occurrence)
                .where(
                    Allocation.status == "active",
                    Allocation.release_at <= now,
                    Occurrence.status == "published",
                    Occurrence.sale_ends_at > now,  # later nobody could buy it
                )
                .limit(_OCCURRENCES_MAX)
            )
            return list(dict.fromkeys([*begun, *due]))

    async def _advance(self, sessions: Sessions, occurrence_id: UUID, now: datetime) -> bool:
        """Do what is due for one occurrence, whose lock this process has."""
        async with sessions() as session:
            occurrence = await session.get_one(Occurrence, occurrence_id)
            begun = await intents.begun(session, occurrence_id)
        if begun is not None:
            await self._finish(sessions, occurrence, begun)
        released = await self._release(sessions, occurrence, now)
        return begun is not None or released

    async def _finish(self, sessions: Sessions, occurrence: Occurrence, wanted: Snapshot) -> None:
        if occurrence.status not in {"draft", "published"}:
            await intents.close(sessions, self._client, occurrence)
            return
        try:
            await intents.carry_out(sessions, self._client, occurrence, wanted)
        except ConflictError as error:  # it is over, and what was refused is said
            log.warning("a publication that was begun is refused: %s", error)
        else:
            log.info(
                "a publication that was begun is done", extra={"occurrence": wanted.occurrence}
            )

    async def _release(self, sessions: Sessions, occurrence: Occurrence, now: datetime) -> bool:
        async with sessions.begin() as session:
            due = list(
                await session.scalars(
                    select(Allocation).where(
                        Allocation.occurrence_id == occurrence.id,
                        Allocation.status == "active",
                        Allocation.release_at <= now,
                    )
                )
            )
            version, published = await latest_snapshot(session, occurrence.id)
            if not due or published is None or occurrence.sale_ends_at <= now:
                return False
            if await intents.on_sale(self._client, occurrence.shard, occurrence.id) is None:
                raise OccurrenceUnknownError(
                    f"its sale is gone from Redis: rebuild {occurrence.id}"
                )
            wanted = await _released(session, occurrence.id, published, due, now)
            if wanted != published:
                await intents.begin(session, occurrence.id, wanted)
        if wanted != published:
            version = await intents.carry_out(sessions, self._client, occurrence, wanted)
        async with sessions.begin() as session:
            # what an edit has put off meanwhile stays active
            await session.execute(
                update(Allocation)
                .where(Allocation.id.in_([item.id for item in due]), Allocation.release_at <= now)
                .values(status="released")
            )
        log.info(
            "allocations are released",
            extra={
                "occurrence": occurrence.id.hex,
                "version": version,
                "allocations": [item.code for item in due],
            },
        )
        return True


async def _released(
    session: AsyncSession,
    occurrence_id: UUID,
    published: Snapshot,
    due: Iterable[Allocation],
    now: datetime,
) -> Snapshot:
    """Return what is published without what is due. Nothing is set aside by that."""
    due_ids = [item.id for item in due]
    released = set(
        await session.scalars(
            select(Seat.guid)
            .join(AllocationSeat, AllocationSeat.seat_id == Seat.id)
            .where(AllocationSeat.allocation_id.in_(due_ids))
        )
    )
    aside: dict[str, int] = {}
    for code, quantity in await session.execute(
        select(QuotaRecord.code, Allocation.quantity)
        .join(Allocation, Allocation.quota_id == QuotaRecord.id)
        .where(Allocation.occurrence_id == occurrence_id, *still_aside(now))
    ):
        aside[code] = aside.get(code, 0) + (quantity or 0)
    quotas = set(
        await session.scalars(
            select(QuotaRecord.code)
            .join(Allocation, Allocation.quota_id == QuotaRecord.id)
            .where(Allocation.id.in_(due_ids))
        )
    )

    def quota(item: Quota) -> Quota:
        if item.code not in quotas:
            return item
        return replace(item, blocked=min(item.blocked, aside.get(item.code, 0)))

    kept = blocked_seats(published).keys() - released
    return with_blocked(replace(published, quotas=tuple(map(quota, published.quotas))), kept)
