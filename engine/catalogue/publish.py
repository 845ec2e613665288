"""Publication: freezes an occurrence and puts it on sale, or applies an edit to its sale."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

import msgspec
from redis.asyncio import Redis
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from engine.catalogue.changes import plan_republication
from engine.catalogue.charging import objections
from engine.catalogue.snapshot import build_snapshot, latest_snapshot
from engine.core.errors import ConflictError, NotFoundError, OccurrenceUnknownError
from engine.core.ids import new_id
from engine.core.snapshot import Snapshot
from engine.db.events import Event, Occurrence, SeatMapSnapshot
from engine.db.outbox import Outbox
from engine.store import inspection, publication


class Publication(msgspec.Struct, frozen=True, kw_only=True):
    """What a publication did. ``changes``: sentences; ``version`` counts the publications."""

    occurrence: str
    event: str
    key: str
    shard: int
    version: int
    outcome: Literal["published", "republished", "unchanged"]
    seats: int
    general: int
    changes: tuple[str, ...] = ()


async def publish_occurrence(
    sessions: async_sessionmaker[AsyncSession], client: Redis, occurrence_id: UUID
) -> Publication:
    """Publish an occurrence, or republish it after an edit; without one nothing changes.

    The snapshot is kept in PostgreSQL for ever. Redis is told before the
    transaction commits: when the commit fails, publishing again finds the sale
    as it is and goes on from there.

    Raises :class:`NotFoundError`; :class:`ConflictError` naming what cannot be
    published or edited in mid-sale; :class:`OccurrenceUnknownError` when the
    sale is gone from Redis and must be rebuilt.
    """
    async with sessions.begin() as session:
        occurrence = await session.scalar(
            select(Occurrence).where(Occurrence.id == occurrence_id).with_for_update()
        )
        if occurrence is None:
            raise NotFoundError(f"there is no occurrence {occurrence_id.hex}")
        event = await session.get_one(Event, occurrence.event_id)
        _check_status(event, occurrence)
        version, previous = await latest_snapshot(session, occurrence.id)
        if previous is not None:
            await _check_alive(client, previous.occurrence)
        snapshot = await build_snapshot(
            session, occurrence.id, now=datetime.now(UTC), previous=previous
        )
        check_sellable(snapshot)
        if snapshot == previous:
            return _publication(event, occurrence, snapshot, version, "unchanged")
        if previous is None:
            changes = await _publish(client, snapshot, occurrence.shard)
            await _announce(session, event, occurrence)
        else:
            changes = _allowed_changes(previous, snapshot)
            await publication.republish(client, snapshot)
        session.add(
            SeatMapSnapshot(
                id=UUID(new_id()),
                occurrence_id=occurrence.id,
                version=version + 1,
                document=msgspec.to_builtins(snapshot),
            )
        )
        outcome: Literal["published", "republished"] = (
            "published" if previous is None else "republished"
        )
        return _publication(event, occurrence, snapshot, version + 1, outcome, changes)


def check_sellable(snapshot: Snapshot) -> None:
    """Raise :class:`ConflictError` with every reason why this cannot be sold."""
    reasons = tuple(_obstacles(snapshot))
    if reasons:
        raise ConflictError("this cannot be published: " + "; ".join(reasons), reasons=reasons)


def capacity(snapshot: Snapshot) -> tuple[int, int]:
    """Return the number of seats, and of general admissions that all quotas allow together."""
    seats = sum(len(row.seats) for section in snapshot.sections for row in section.rows)
    general = {
        index for kind in snapshot.ticket_types if kind.kind == "general" for index in kind.quotas
    }
    return seats, sum(snapshot.quotas[index].capacity for index in general)


def _obstacles(snapshot: Snapshot) -> Iterator[str]:
    if not snapshot.ticket_types:
        yield "it has no ticket types"
    for kind in snapshot.ticket_types:
        if not kind.tiers:
            yield f'ticket type "{kind.code}" has no price'
        if kind.kind == "general" and not kind.quotas:
            yield f'general ticket type "{kind.code}" has no quota'
    for quota in snapshot.quotas:
        if quota.blocked > quota.capacity:
            yield (
                f'allocations set aside {quota.blocked} of quota "{quota.code}",'
                f" which has {quota.capacity}"
            )
    yield from objections(snapshot)


def _check_status(event: Event, occurrence: Occurrence) -> None:
    for what, status in (("event", event.status), ("occurrence", occurrence.status)):
        if status not in {"draft", "published"}:
            raise ConflictError(f"the {what} is {status}: it cannot be published")


async def _check_alive(client: Redis, occurrence: str) -> None:
    try:
        await inspection.shard_of(client, occurrence)
    except OccurrenceUnknownError as error:
        # publishing again would put sold seats back on sale
        raise OccurrenceUnknownError(
            f"occurrence {occurrence} was published, but its sale is gone from Redis:"
            f" restore it with `onsale rebuild {occurrence}`"
        ) from error


def _allowed_changes(previous: Snapshot, snapshot: Snapshot) -> tuple[str, ...]:
    plan = plan_republication(previous, snapshot)
    if plan.refusals:
        raise ConflictError(
            "the sale is running: " + "; ".join(plan.refusals), refusals=plan.refusals
        )
    return plan.changes


async def _publish(client: Redis, snapshot: Snapshot, shard: int) -> tuple[str, ...]:
    try:
        await publication.publish(client, snapshot, shard=shard)
    except ConflictError:
        # an earlier publication reached Redis and did not commit: carry on from what is on sale
        on_sale = await inspection.read_snapshot(client, snapshot.occurrence)
        changes = _allowed_changes(on_sale, snapshot)
        if changes:
            await publication.republish(client, snapshot)
        return changes
    return ()


async def _announce(session: AsyncSession, event: Event, occurrence: Occurrence) -> None:
    if event.status == "draft":
        event.status = "published"
        session.add(
            Outbox(
                id=UUID(new_id()),
                organization_id=event.organization_id,
                kind="event.published",
                payload={"event": event.id.hex, "occurrence": occurrence.id.hex},
            )
        )
    occurrence.status = "published"


def _publication(
    event: Event,
    occurrence: Occurrence,
    snapshot: Snapshot,
    version: int,
    outcome: Literal["published", "republished", "unchanged"],
    changes: tuple[str, ...] = (),
) -> Publication:
    seats, general = capacity(snapshot)
    return Publication(
        occurrence=snapshot.occurrence,
        event=event.slug,
        key=occurrence.key,
        shard=occurrence.shard,
        version=version,
        outcome=outcome,
        seats=seats,
        general=general,
        changes=changes,
    )
