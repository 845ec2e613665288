"""Writes what an occurrence sells: quotas, ticket types, tiers, allocations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Protocol, TypeVar
from uuid import UUID

from sqlalchemy import Select, delete, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from engine.catalogue.catalogue import Catalogue, CatalogueAllocation, CatalogueTicketType
from engine.catalogue.models.events import Occurrence
from engine.catalogue.models.ticketing import (
    Allocation,
    AllocationSeat,
    PriceTier,
    Quota,
    TicketType,
    TicketTypeQuota,
)
from engine.catalogue.moments import Moment
from engine.catalogue.seat_maps import seat_ids
from engine.catalogue.upsert import Upserts
from engine.core.errors import ConflictError


class _Coded(Protocol):
    @property
    def code(self) -> str: ...


M = TypeVar("M", Quota, TicketType, PriceTier, Allocation)


async def load_ticketing(
    upserts: Upserts,
    catalogue: Catalogue,
    occurrence: Occurrence,
    *,
    at: Callable[[Moment], datetime],
    on_sale: bool,
) -> None:
    """Bring the rows of an occurrence to what the catalogue says.

    ``at`` makes a time of a moment. Raises :class:`ConflictError` when something
    would be removed from a sale (``on_sale``), or a seat is not in the map that
    it is sold with.
    """
    await _Ticketing(upserts, catalogue, occurrence, at, on_sale=on_sale).run()


class _Ticketing:
    def __init__(
        self,
        upserts: Upserts,
        catalogue: Catalogue,
        occurrence: Occurrence,
        at: Callable[[Moment], datetime],
        *,
        on_sale: bool,
    ) -> None:
        self.upserts = upserts
        self.session: AsyncSession = upserts.session
        self.catalogue = catalogue
        self.occurrence = occurrence
        self.at = at
        self.on_sale = on_sale

    async def run(self) -> None:
        quotas = await self._quotas()
        types = await self._ticket_types()
        for kind in self.catalogue.ticket_types:
            await self._tiers(types[kind.code].id, kind)
        await self._links(types, quotas)
        await self._allocations(quotas)
        await self._remove_rest(types, self.catalogue.ticket_types, "ticket type")
        await self._remove_rest(quotas, self.catalogue.quotas, "quota")
        await self.session.flush()

    def _at(self, moment: Moment | None) -> datetime | None:
        return None if moment is None else self.at(moment)

    async def _by_code(self, query: Select[M]) -> dict[str, M]:
        return {row.code: row for row in await self.session.scalars(query)}

    async def _remove_rest(
        self, rows: Mapping[str, M], wanted: Iterable[_Coded], what: str
    ) -> None:
        """Remove the rows that the file does not name any more."""
        codes = {item.code for item in wanted}
        for code, row in rows.items():
            if code in codes:
                continue
            if self.on_sale:
                raise ConflictError(
                    f'{what} "{code}" is on sale in occurrence "{self.occurrence.key}" and cannot'
                    " be removed: keep it in the file and end its sale instead"
                )
            await self.upserts.remove(row)

    async def _quotas(self) -> dict[str, Quota]:
        rows = await self._by_code(select(Quota).where(Quota.occurrence_id == self.occurrence.id))
        for position, quota in enumerate(self.catalogue.quotas):
            rows[quota.code] = self.upserts.put(
                Quota,
                rows.get(quota.code),
                {
                    "occurrence_id": self.occurrence.id,
                    "position": position,
                    "code": quota.code,
                    "name": quota.name,
                    "capacity": quota.capacity,
                },
            )
        await self.session.flush()
        return rows

    async def _ticket_types(self) -> dict[str, TicketType]:
        rows = await self._by_code(
            select(TicketType).where(TicketType.occurrence_id == self.occurrence.id)
        )
        for position, kind in enumerate(self.catalogue.ticket_types):
            rows[kind.code] = self.upserts.put(
                TicketType,
                rows.get(kind.code),
                {
                    "occurrence_id": self.occurrence.id,
                    "position": position,
                    "code": kind.code,
                    "name": kind.name,
                    "description": kind.description,
                    "kind": "general" if kind.category is None else "seat",
                    "category": kind.category,
                    "min_per_order": kind.min_per_order,
                    "max_per_order": kind.max_per_order,
                    "max_per_buyer": kind.max_per_buyer,
                    "sale_starts_at": self._at(kind.sale_starts_at),
                    "sale_ends_at": self._at(kind.sale_ends_at),
                },
            )
        await self.session.flush()
        return rows

    async def _tiers(self, type_id: UUID, kind: CatalogueTicketType) -> None:
        rows = await self._by_code(select(PriceTier).where(PriceTier.ticket_type_id == type_id))
        for position, tier in enumerate(kind.tiers):
            rows[tier.code] = self.upserts.put(
                PriceTier,
                rows.get(tier.code),
                {
                    "ticket_type_id": type_id,
                    "position": position,
                    "code": tier.code,
                    "name": tier.name,
                    "price": tier.price,
                    "capacity": tier.capacity,
                    "starts_at": self._at(tier.starts_at),
                    "ends_at": self._at(tier.ends_at),
                },
            )
        await self._remove_rest(rows, kind.tiers, f'ticket type "{kind.code}": tier')

    async def _links(self, types: Mapping[str, TicketType], quotas: Mapping[str, Quota]) -> None:
        stored = {
            (link.ticket_type_id, link.quota_id): link
            for link in await self.session.scalars(
                select(TicketTypeQuota)
                .join(TicketType)
                .where(TicketType.occurrence_id == self.occurrence.id)
            )
        }
        wanted = {
            (types[kind.code].id, quotas[code].id)
            for kind in self.catalogue.ticket_types
            for code in kind.quotas
        }
        for type_id, quota_id in wanted - stored.keys():
            self.session.add(TicketTypeQuota(ticket_type_id=type_id, quota_id=quota_id))
            self.upserts.added += 1
        for pair in stored.keys() - wanted:
            await self.upserts.remove(stored[pair])
        await self.session.flush()

    async def _allocations(self, quotas: Mapping[str, Quota]) -> None:
        rows = await self._by_code(
            select(Allocation).where(Allocation.occurrence_id == self.occurrence.id)
        )
        for item in self.catalogue.allocations:
            found, release_at = rows.get(item.code), self._at(item.release_at)
            values = {
                "occurrence_id": self.occurrence.id,
                "code": item.code,
                "name": item.name,
                "purpose": item.purpose,
                "quota_id": None if item.quota is None else quotas[item.quota].id,
                "quantity": item.quantity,
                "release_at": release_at,
            }
            if found is not None and found.release_at != release_at:
                values["status"] = "active"  # put off: the new time counts
            rows[item.code] = self.upserts.put(Allocation, found, values)
        wanted = {item.code for item in self.catalogue.allocations}
        for code, row in rows.items():
            if code not in wanted:
                await self.upserts.remove(row)  # what was set aside goes on sale
        await self.session.flush()
        await self._allocation_seats(rows)

    async def _allocation_seats(self, rows: Mapping[str, Allocation]) -> None:
        ids: Mapping[str, UUID] = {}
        if self.occurrence.seat_map_id is not None and self._seated():
            ids = await seat_ids(self.session, self.occurrence.seat_map_id)
        stored: dict[UUID, set[UUID]] = {}
        for link in await self.session.scalars(
            select(AllocationSeat)
            .join(Allocation)
            .where(Allocation.occurrence_id == self.occurrence.id)
        ):
            stored.setdefault(link.allocation_id, set()).add(link.seat_id)
        for item in self.catalogue.allocations:
            allocation_id = rows[item.code].id
            wanted = self._seat_ids(item, ids)
            if wanted != stored.get(allocation_id, set()):
                await self._replace_seats(allocation_id, wanted)

    def _seated(self) -> bool:
        return any(item.seats for item in self.catalogue.allocations)

    def _seat_ids(self, item: CatalogueAllocation, ids: Mapping[str, UUID]) -> set[UUID]:
        missing = [guid for guid in item.seats if guid not in ids]
        if missing:
            raise ConflictError(
                f'allocation "{item.code}": occurrence "{self.occurrence.key}" is sold with an'
                f" earlier seat map, which does not have {', '.join(missing[:5])}"
            )
        return {ids[guid] for guid in item.seats}

    async def _replace_seats(self, allocation_id: UUID, wanted: set[UUID]) -> None:
        of_allocation = AllocationSeat.allocation_id == allocation_id
        await self.session.execute(delete(AllocationSeat).where(of_allocation))
        if wanted:
            await self.session.execute(
                insert(AllocationSeat),
                [{"allocation_id": allocation_id, "seat_id": seat_id} for seat_id in wanted],
            )
        self.upserts.updated += 1
