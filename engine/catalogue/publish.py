"""Publication: freezes an occurrence and puts it on sale, or applies an edit to its sale."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

import msgspec
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from engine.catalogue import intents
from engine.catalogue.charging import objections
from engine.catalogue.intents import publishing
from engine.catalogue.models.events import Event, Occurrence
from engine.catalogue.notices import past_notices
from engine.catalogue.snapshot import build_snapshot, latest_snapshot
from engine.core.errors import ConflictError, NotFoundError
from engine.core.times import local_time, moment_of
from engine.sale.inventory import layout
from engine.sale.inventory.snapshot import Snapshot


class Publication(msgspec.Struct, frozen=True, kw_only=True):
    """What a publication did. ``changes``: sentences; ``version`` counts the publications.

    ``times``: a label and a time as people at the venue read it. ``notices``: what
    is allowed and may not be meant.
    """

    occurrence: str
    event: str
    key: str
    shard: int
    version: int
    outcome: Literal["published", "republished", "unchanged"]
    seats: int
    general: int
    changes: tuple[str, ...] = ()
    times: tuple[tuple[str, str], ...] = ()
    notices: tuple[str, ...] = ()


async def publish_occurrence(
    sessions: async_sessionmaker[AsyncSession], client: Redis, occurrence_id: UUID
) -> Publication:
    """Publish an occurrence, or republish it after an edit; without one nothing changes.

    The snapshot is kept in PostgreSQL for ever. What happens when the process is
    killed anywhere in between: :mod:`engine.catalogue.intents`.

    Raises :class:`NotFoundError`; :class:`ConflictError` naming what cannot be
    published or edited in mid-sale; :class:`OccurrenceUnknownError` when the
    sale is gone from Redis and must be rebuilt.
    """
    async with publishing(sessions, occurrence_id) as mine:
        event, occurrence = await _rows(mine, occurrence_id)
        _check_status(event, occurrence)
        await intents.close(mine, client, occurrence)
        running = await intents.on_sale(client, occurrence.shard, occurrence.id)
        if running is None:
            await intents.check_new(mine, occurrence)
        async with mine.begin() as session:
            version, previous = await latest_snapshot(session, occurrence.id)
            wanted = await build_snapshot(
                session, occurrence.id, now=datetime.now(UTC), previous=previous or running
            )
            check_sellable(wanted)
            if wanted == previous:
                return _publication(event, occurrence, wanted, version, "unchanged")
            known = previous or running
            changes = () if known is None else intents.allowed_changes(known, wanted)
            layout.lay_out(wanted)  # raises for what is too large
            await intents.begin(session, occurrence.id, wanted)
        version = await intents.carry_out(mine, client, occurrence, wanted)
        outcome: Literal["published", "republished"] = (
            "published" if previous is None else "republished"
        )
        return _publication(event, occurrence, wanted, version, outcome, changes)


async def _rows(sessions: intents.Sessions, occurrence_id: UUID) -> tuple[Event, Occurrence]:
    async with sessions() as session:
        occurrence = await session.get(Occurrence, occurrence_id)
        if occurrence is None:
            raise NotFoundError(f"there is no occurrence {occurrence_id.hex}")
        return await session.get_one(Event, occurrence.event_id), occurrence


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
        times=_times(snapshot),
        notices=tuple(past_notices(snapshot, datetime.now(UTC))),
    )


def _times(snapshot: Snapshot) -> tuple[tuple[str, str], ...]:
    moments = {
        "begins": snapshot.starts_at,
        "ends": snapshot.ends_at,
        "sale begins": snapshot.sale_starts_at,
        "sale ends": snapshot.sale_ends_at,
    }
    if snapshot.room.on:
        moments["line opens"] = snapshot.room.opens_at or snapshot.sale_starts_at
    return tuple(
        (label, local_time(moment_of(ms), snapshot.timezone)) for label, ms in moments.items()
    )
