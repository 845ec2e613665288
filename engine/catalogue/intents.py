"""A publication concerns two stores: its intent is written first, and finished by whoever comes.

The order of the steps (ADR 0014):

1. PostgreSQL: the intent, with the whole snapshot that is wanted; committed.
2. Redis: the scripts of the publication, each all or nothing.
3. PostgreSQL: the snapshot of the publication instead of the intent.

Killed between any two of them, an intent is left. A worker carries it out; a
person who publishes again, maybe something else, first has what Redis got of
it put down, and goes on from there. One at a time: each holds a lock of the
occurrence, which ends with its connection.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from uuid import UUID

import msgspec
from redis.asyncio import Redis
from sqlalchemy import delete, exists, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from engine.catalogue.changes import plan_republication
from engine.catalogue.models.events import Event, Occurrence, PublicationIntent, SeatMapSnapshot
from engine.catalogue.numbers import continue_numbers
from engine.catalogue.snapshot import latest_snapshot
from engine.core.errors import ConflictError, InvalidRequestError
from engine.core.ids import new_id
from engine.platform.postgres.outbox import Outbox
from engine.sale.errors import OccurrenceUnknownError
from engine.sale.inventory import inspection, publication
from engine.sale.inventory.snapshot import Snapshot
from engine.write_behind.models.orders import Order

Sessions = async_sessionmaker[AsyncSession]
_LOCK: Final = 0x7075626C  # "publ": publications of an occurrence follow each other
_LOCKED = text("SELECT pg_try_advisory_lock(:room, :number)")
_LOCKS = text("SELECT pg_advisory_lock(:room, :number)")
_UNLOCKS = text("SELECT pg_advisory_unlock(:room, :number)")


class BusyError(Exception):
    """Somebody publishes this occurrence at this moment."""


@asynccontextmanager
async def publishing(
    sessions: Sessions, occurrence_id: UUID, *, wait: bool = True
) -> AsyncIterator[Sessions]:
    """Give sessions on the one connection that has the occurrence's lock.

    ``wait`` False: raises :class:`BusyError` when another has it.
    """
    engine: AsyncEngine = sessions.kw["bind"]
    number = int.from_bytes(occurrence_id.bytes[-4:], signed=True)
    names = {"room": _LOCK, "number": number}
    async with engine.connect() as connection:
        locked = await connection.scalar(_LOCKS if wait else _LOCKED, names)
        await connection.commit()
        if locked is False:
            raise BusyError(f"occurrence {occurrence_id.hex} is being published")
        try:
            yield async_sessionmaker(connection, expire_on_commit=False)
        finally:
            try:
                await connection.rollback()
                await connection.execute(_UNLOCKS, names)
                await connection.commit()
            except (DBAPIError, OSError):
                await connection.invalidate()  # and with it goes the lock


async def on_sale(client: Redis, shard: int, occurrence_id: UUID) -> Snapshot | None:
    """Return what the sale runs on now; None: Redis does not have the occurrence.

    Raises ``OccurrenceUnreadableError``.
    """
    try:
        await inspection.read_configuration(client, shard, occurrence_id.hex)
        return await inspection.read_snapshot_at(client, shard, occurrence_id.hex)
    except OccurrenceUnknownError as error:
        if type(error) is OccurrenceUnknownError:
            return None
        raise


async def begin(session: AsyncSession, occurrence_id: UUID, wanted: Snapshot) -> None:
    """Note what will be published; the caller commits before Redis is touched."""
    session.add(
        PublicationIntent(occurrence_id=occurrence_id, document=msgspec.to_builtins(wanted))
    )
    await session.flush()


async def begun(session: AsyncSession, occurrence_id: UUID) -> Snapshot | None:
    """Return what a publication that was not finished wanted; None: there is none."""
    found = await session.get(PublicationIntent, occurrence_id)
    return None if found is None else msgspec.convert(found.document, Snapshot)


async def carry_out(
    sessions: Sessions, client: Redis, occurrence: Occurrence, wanted: Snapshot
) -> int:
    """Bring Redis to what was begun and note it. Returns the version of the publication.

    What Redis refuses is over: raises ``ConflictError``, and what it took of it,
    if there were several steps, is noted as published. Raises
    ``OccurrenceUnknownError`` when the sale is gone from Redis.
    """
    before = await on_sale(client, occurrence.shard, occurrence.id)
    if before is None:
        await check_new(sessions, occurrence)
    try:
        if before is None:
            async with sessions() as session:
                await continue_numbers(session, client, occurrence.shard)
            await publication.publish(client, wanted, shard=occurrence.shard)
        elif before != wanted:
            allowed_changes(before, wanted)
            await publication.announce(client, wanted.occurrence, occurrence.shard)
            await publication.republish(client, wanted)
        else:
            await publication.announce(client, wanted.occurrence, occurrence.shard)
    except (ConflictError, InvalidRequestError):
        after = await on_sale(client, occurrence.shard, occurrence.id)
        await _note(sessions, occurrence, after if after != before else None)
        raise
    return await _note(sessions, occurrence, wanted)


async def close(sessions: Sessions, client: Redis, occurrence: Occurrence) -> None:
    """End a publication that was begun as it stands: what Redis has of it is noted.

    Raises ``OccurrenceUnknownError`` when the sale is gone from Redis.
    """
    async with sessions() as session:
        if await begun(session, occurrence.id) is None:
            return
    found = await on_sale(client, occurrence.shard, occurrence.id)
    if found is None:
        await check_new(sessions, occurrence)
    else:
        await publication.announce(client, found.occurrence, occurrence.shard)
    await _note(sessions, occurrence, found)


async def check_new(sessions: Sessions, occurrence: Occurrence) -> None:
    """Raise ``OccurrenceUnknownError`` when an occurrence that Redis does not have was sold.

    Publishing it afresh would put sold seats back on sale.
    """
    async with sessions() as session:
        version, _ = await latest_snapshot(session, occurrence.id)
        sold = await session.scalar(select(exists().where(Order.occurrence_id == occurrence.id)))
    if version or sold:
        raise OccurrenceUnknownError(
            f"occurrence {occurrence.id.hex} was published, but its sale is gone from Redis:"
            f" restore it with `onsale rebuild {occurrence.id.hex}`"
        )


def allowed_changes(previous: Snapshot, wanted: Snapshot) -> tuple[str, ...]:
    """Return what would change, as sentences. Raises ``ConflictError`` naming what must not."""
    plan = plan_republication(previous, wanted)
    if plan.refusals:
        raise ConflictError(
            "the sale is running: " + "; ".join(plan.refusals), refusals=plan.refusals
        )
    return plan.changes


async def _note(sessions: Sessions, occurrence: Occurrence, found: Snapshot | None) -> int:
    """Put what Redis has (None: nothing new) in the place of the intent; return its version."""
    async with sessions.begin() as session:
        version, previous = await latest_snapshot(session, occurrence.id)
        if found is not None and found != previous:
            version += 1
            session.add(
                SeatMapSnapshot(
                    id=UUID(new_id()),
                    occurrence_id=occurrence.id,
                    version=version,
                    document=msgspec.to_builtins(found),
                )
            )
            await _tell(session, occurrence.id)
        await session.execute(
            delete(PublicationIntent).where(PublicationIntent.occurrence_id == occurrence.id)
        )
        return version


async def _tell(session: AsyncSession, occurrence_id: UUID) -> None:
    """Make event and occurrence published, if this is the first time."""
    occurrence = await session.get_one(Occurrence, occurrence_id, with_for_update=True)
    event = await session.get_one(Event, occurrence.event_id)
    if occurrence.status == "draft":
        occurrence.status = "published"
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
