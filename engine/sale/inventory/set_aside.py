"""Which seats of a snapshot are set aside, and snapshots that differ in nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet

from msgspec.structs import replace

from engine.sale.inventory.snapshot import Row, Seat, Section, Snapshot


def blocked_seats(snapshot: Snapshot) -> dict[str, None]:
    """Return the guids of the seats that are set aside, in the order of the map."""
    return {seat.guid: None for seat in _seats(snapshot) if seat.blocked}


def with_blocked(snapshot: Snapshot, guids: AbstractSet[str]) -> Snapshot:
    """Return the snapshot with exactly these seats set aside."""
    return replace(
        snapshot, sections=tuple(_section(section, guids) for section in snapshot.sections)
    )


def least_blocked(one: Snapshot, other: Snapshot) -> Snapshot:
    """Return ``one`` with that set aside which both set aside; quotas are known by their codes."""
    quotas = {quota.code: quota.blocked for quota in other.quotas}
    aside = tuple(
        replace(quota, blocked=min(quota.blocked, quotas.get(quota.code, 0)))
        for quota in one.quotas
    )
    both = blocked_seats(one).keys() & blocked_seats(other).keys()
    return with_blocked(replace(one, quotas=aside), both)


def _seats(snapshot: Snapshot) -> Iterator[Seat]:
    return (seat for section in snapshot.sections for row in section.rows for seat in row.seats)


def _section(section: Section, guids: AbstractSet[str]) -> Section:
    rows = tuple(_row(row, guids) for row in section.rows)
    return section if rows == section.rows else replace(section, rows=rows)


def _row(row: Row, guids: AbstractSet[str]) -> Row:
    if all(seat.blocked == (seat.guid in guids) for seat in row.seats):
        return row
    return replace(row, seats=tuple(replace(s, blocked=s.guid in guids) for s in row.seats))
