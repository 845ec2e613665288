"""Indexes of a snapshot turned into the names that people read.

Records name ticket types, tiers and seats by their index in the snapshot
(:mod:`engine.sale.inventory.snapshot`); PostgreSQL keeps codes, guids and names.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

import msgspec
from redis.asyncio import Redis

from engine.sale.errors import OccurrenceUnknownError
from engine.sale.inventory import inspection
from engine.sale.inventory.set_aside import least_blocked
from engine.sale.inventory.snapshot import Section, Snapshot
from engine.write_behind.tables import Connected

SeatNames = tuple[str | None, str | None, str | None, str | None]  # guid, section, row, seat

CACHE_SIZE = 32  # occurrences; a stadium of 55,000 seats takes some 10 MB


class StaleNamesError(ValueError):
    """An index is not in the snapshot: it was published again, or the record is wrong."""

    def __init__(self, occurrence: str, what: str) -> None:
        super().__init__(f"the snapshot of occurrence {occurrence} has no {what}")
        self.occurrence = occurrence


class Names:
    """The names of one occurrence's snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.occurrence = snapshot.occurrence
        self.organization = snapshot.organization
        self._prices = [
            [(kind.code, tier.code) for tier in kind.tiers] for kind in snapshot.ticket_types
        ]
        self._seats = [_positions(section) for section in snapshot.sections]

    def price(self, ticket_type: int, tier: int) -> tuple[str, str]:
        """Return the codes of a ticket type and its tier. Raises :class:`StaleNamesError`."""
        try:
            if ticket_type >= 0 and tier >= 0:
                return self._prices[ticket_type][tier]
        except IndexError:
            pass
        raise StaleNamesError(self.occurrence, f"tier {tier} of ticket type {ticket_type}")

    def seat(self, section: int, position: int) -> SeatNames:
        """Return (guid, section, row, seat) of a byte in a section's string.

        Raises :class:`StaleNamesError`, also when the byte is a row's end.
        """
        try:
            seat = self._seats[section][position] if section >= 0 and position >= 0 else None
        except IndexError:
            seat = None
        if seat is None:
            raise StaleNamesError(self.occurrence, f"seat at {position} of section {section}")
        return seat


def _positions(section: Section) -> list[SeatNames | None]:
    """Return a section's seats at their positions; ``None`` stands where a row ends."""
    positions: list[SeatNames | None] = []
    for number, row in enumerate(section.rows):
        if number:
            positions.append(None)
        positions += [(seat.guid, section.name, row.name, seat.number) for seat in row.seats]
    return positions


class NamesCache:
    """The names of the occurrences used last."""

    def __init__(self, client: Redis, size: int = CACHE_SIZE) -> None:
        self._client = client
        self._size = size
        self._names: OrderedDict[str, Names] = OrderedDict()

    async def of(self, connection: Connected, occurrences: Iterable[str]) -> dict[str, Names]:
        """Return the names of these occurrences; more than the cache's size at once if need be.

        The snapshot that the sale runs on comes first: a publication reaches
        Redis a moment before it is committed in PostgreSQL, and its first
        orders may be here in between. Raises ``ValueError`` when neither has one.
        """
        found = {}
        for occurrence in set(occurrences):
            if occurrence not in self._names:
                try:
                    snapshot = await inspection.read_snapshot(self._client, occurrence)
                except OccurrenceUnknownError:
                    snapshot = await read_snapshot(connection, occurrence)
                self._names[occurrence] = Names(snapshot)
            self._names.move_to_end(occurrence)
            found[occurrence] = self._names[occurrence]
            while len(self._names) > self._size:
                self._names.popitem(last=False)
        return found

    def forget(self, occurrence: str) -> None:
        """Read the occurrence's snapshot anew next time."""
        self._names.pop(occurrence, None)


async def read_snapshot(connection: Connected, occurrence: str) -> Snapshot:
    """Return the newest snapshot in PostgreSQL. Raises ``ValueError`` when there is none.

    Of a publication that was begun and not finished somebody may have bought
    already, so it counts; set aside is only what both set aside.
    """
    documents = await connection.fetch(
        "(SELECT document::text FROM publication_intents WHERE occurrence_id = $1)"
        " UNION ALL (SELECT document::text FROM seat_map_snapshots WHERE occurrence_id = $1"
        " ORDER BY version DESC LIMIT 1)",
        occurrence,
    )
    if not documents:
        raise ValueError(f"occurrence {occurrence} has no snapshot: it was never published")
    newest, *older = [msgspec.json.decode(row["document"], type=Snapshot) for row in documents]
    return least_blocked(newest, older[0]) if older else newest
