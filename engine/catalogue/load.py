"""Writes a checked event into PostgreSQL: in one transaction, and idempotently."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID
from zlib import crc32

import msgspec
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.catalogue.catalogue import Catalogue, CatalogueOccurrence, CatalogueRoom
from engine.catalogue.changes import plan_republication
from engine.catalogue.intents import begun
from engine.catalogue.load_ticketing import load_ticketing
from engine.catalogue.models.events import Event, Occurrence
from engine.catalogue.models.venues import SeatMap, Venue
from engine.catalogue.moments import Moment
from engine.catalogue.notices import occurrence_notices
from engine.catalogue.seat_maps import newest_seat_map, store_seat_map
from engine.catalogue.snapshot import build_snapshot, latest_snapshot
from engine.catalogue.upsert import Upserts
from engine.catalogue.windows import check_windows
from engine.core.errors import ConflictError
from engine.core.ids import new_id
from engine.organizations.models import Organization
from engine.platform.valkey.keys import SHARD_COUNT
from engine.sale.inventory.snapshot import Snapshot

_LOCK = 0x6C6F6164  # "load": loadings follow each other, so that their upserts never collide
T = TypeVar("T")


class LoadedOccurrence(msgspec.Struct, frozen=True, kw_only=True):
    """An occurrence by its id and key; ``published``: it is on sale."""

    id: str
    key: str
    published: bool


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """What loading did. ``added``, ``updated``, ``removed`` count rows, without seats.

    ``seats_added``: of a new version of the seat map.
    """

    organization: str
    venue: str
    event: str
    occurrences: tuple[LoadedOccurrence, ...]
    added: int
    updated: int
    removed: int
    seats_added: int
    notices: tuple[str, ...]

    @property
    def unchanged(self) -> bool:
        """Whether everything was there already."""
        return not (self.added or self.updated or self.removed or self.seats_added)


async def load(
    session: AsyncSession, catalogue: Catalogue, advance: Callable[[int], None] = lambda _: None
) -> Loaded:
    """Write the event within the caller's transaction; nothing of it stays if this raises.

    ``advance`` is told the number of seats written since its last call. Raises
    :class:`ConflictError` naming what may not change, e.g. in a sale that runs.
    """
    await session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    return await _Loading(session, catalogue).run(advance)


def shard_of(occurrence_id: UUID) -> int:
    """Return the shard where the sale of an occurrence lives, for ever."""
    return crc32(occurrence_id.hex.encode()) % SHARD_COUNT


def _room(room: CatalogueRoom, at: Callable[[Moment], datetime]) -> dict[str, Any]:
    """Return the values of an occurrence's columns ``room_*``."""
    values = {f"room_{name}": value for name, value in msgspec.structs.asdict(room).items()}
    return values | {"room_opens_at": None if room.opens_at is None else at(room.opens_at)}


class _Loading:
    def __init__(self, session: AsyncSession, catalogue: Catalogue) -> None:
        self.session = session
        self.catalogue = catalogue
        self.upserts = Upserts(session)
        self.notices = list(catalogue.notices)
        self.now = datetime.now(UTC).replace(microsecond=0)

    async def run(self, advance: Callable[[int], None]) -> Loaded:
        organization = await self._organization()
        venue = await self._venue(organization)
        seats_added, seat_map = await self._seat_map(venue, advance)
        event = await self._event(organization)
        listed = [
            await self._occurrence(item, event, venue, seat_map)
            for item in self.catalogue.occurrences
        ]
        keys = {item.key for item in self.catalogue.occurrences}
        for key in await self.session.scalars(
            select(Occurrence.key).where(Occurrence.event_id == event.id)
        ):
            if key not in keys:
                self.notices.append(f'occurrence "{key}" is not in the file and was left as it is')
        return Loaded(
            organization=organization.slug,
            venue=venue.slug,
            event=event.slug,
            occurrences=tuple(listed),
            added=self.upserts.added,
            updated=self.upserts.updated,
            removed=self.upserts.removed,
            seats_added=seats_added,
            notices=tuple(self.notices),
        )

    async def _organization(self) -> Organization:
        given = self.catalogue.organization
        found = await self.session.scalar(
            select(Organization).where(Organization.slug == given.slug)
        )
        organization = self.upserts.put(
            Organization, found, {"slug": given.slug, "name": given.name, "email": given.email}
        )
        await self.session.flush()
        return organization

    async def _venue(self, organization: Organization) -> Venue:
        given = self.catalogue.venue
        found = await self.session.scalar(
            select(Venue).where(Venue.organization_id == organization.id, Venue.slug == given.slug)
        )
        values = {
            "organization_id": organization.id,
            "slug": given.slug,
            "name": given.name,
            **msgspec.structs.asdict(given.address),
            "latitude": None if given.geo is None else given.geo.latitude,
            "longitude": None if given.geo is None else given.geo.longitude,
            "capacity": given.capacity,
            "contact_email": given.contact.email,
            "contact_phone": given.contact.phone,
            "website": given.contact.website,
            "timezone": given.timezone,
        }
        venue = self.upserts.put(Venue, found, values)
        await self.session.flush()
        return venue

    async def _seat_map(
        self, venue: Venue, advance: Callable[[int], None]
    ) -> tuple[int, SeatMap | None]:
        plan = self.catalogue.plan
        if plan is None:
            return 0, None
        before = await newest_seat_map(self.session, venue.id)
        seat_map, written = await store_seat_map(
            self.session, venue.id, plan, self.catalogue.kinds, self.catalogue.venue.focus, advance
        )
        if before is not None and written:
            self.notices.append(
                f"the seating plan changed: it is version {seat_map.version} of the seat map now"
            )
        return seat_map.seat_count if written else 0, seat_map

    async def _event(self, organization: Organization) -> Event:
        given, policies = self.catalogue.event, self.catalogue.policies
        found = await self.session.scalar(select(Event).where(Event.slug == given.slug))
        if found is not None and found.organization_id != organization.id:
            raise ConflictError(
                f'event.slug: "{given.slug}" is an event of another organization: choose another'
            )
        values = {
            "organization_id": organization.id,
            "slug": given.slug,
            "name": given.name,
            "description": given.description,
            "category": given.category,
            "currency": given.currency,
            "tax_rate_bp": self.catalogue.tax_rate_bp,
            **msgspec.structs.asdict(self.catalogue.fees),
            "refund_policy": policies.refund,
            "transfer_policy": policies.transfer,
            "cancellation_policy": policies.cancellation,
        }
        event = self.upserts.put(Event, found, values)
        await self.session.flush()
        return event

    async def _occurrence(
        self, item: CatalogueOccurrence, event: Event, venue: Venue, seat_map: SeatMap | None
    ) -> LoadedOccurrence:
        found = await self.session.scalar(
            select(Occurrence)
            .where(Occurrence.event_id == event.id, Occurrence.key == item.key)
            .with_for_update()
        )
        on_sale = None if found is None else await self._on_sale(found.id)
        first = self.now if found is None else found.created_at
        policies = self.catalogue.policies

        def at(moment: Moment) -> datetime:
            return moment.at(first, item.zone)

        check_windows(self.catalogue, item, at)
        self.notices += occurrence_notices(self.catalogue, item, at)
        values = {
            "event_id": event.id,
            "venue_id": venue.id,
            "seat_map_id": None if seat_map is None else seat_map.id,
            "key": item.key,
            "starts_at": at(item.starts_at),
            "ends_at": at(item.ends_at),
            "timezone": item.zone.key,
            "sale_starts_at": at(item.sale_starts_at),
            "sale_ends_at": at(item.sale_ends_at),
            "hold_ttl_ms": policies.hold_ttl_ms,
            "hold_ttl_ms_max": policies.hold_ttl_ms_max,
            "payment_window_ms": policies.payment_window_ms,
            "max_per_order": policies.max_per_order,
            "max_per_buyer": policies.max_per_buyer,
            **_room(self.catalogue.room, at),
        }
        if found is None:
            occurrence_id = UUID(new_id())
            values |= {"id": occurrence_id, "shard": shard_of(occurrence_id), "created_at": first}
        elif on_sale is not None and found.seat_map_id != values["seat_map_id"]:
            values["seat_map_id"] = found.seat_map_id
            self.notices.append(
                f'occurrence "{item.key}" is on sale and keeps the seat map it was published with'
            )
        occurrence = self.upserts.put(Occurrence, found, values)
        await self.session.flush()
        await load_ticketing(
            self.upserts,
            self.catalogue,
            occurrence,
            at=at,
            on_sale=on_sale is not None,
        )
        if on_sale is not None:
            await self._check_sale(occurrence, on_sale)
        return LoadedOccurrence(
            id=occurrence.id.hex, key=occurrence.key, published=on_sale is not None
        )

    async def _on_sale(self, occurrence_id: UUID) -> Snapshot | None:
        """Return what is on sale; of a first publication that was not finished, what may be."""
        _, published = await latest_snapshot(self.session, occurrence_id)
        return published or await begun(self.session, occurrence_id)

    async def _check_sale(self, occurrence: Occurrence, on_sale: Snapshot) -> None:
        """Refuse what could not be republished, so that the tables never hold it."""
        wanted = await build_snapshot(
            self.session, occurrence.id, now=datetime.now(UTC), previous=on_sale
        )
        plan = plan_republication(on_sale, wanted)
        if plan.refusals:
            raise ConflictError(
                f'occurrence "{occurrence.key}" is on sale; nothing was loaded:\n  '
                + "\n  ".join(plan.refusals),
                refusals=plan.refusals,
            )
