"""Settles who has a seat when several orders' tickets say that they do.

An order has its seats for one stretch of its stream, from its confirmation to
its return: the scripts sell no seat that is not free, so the stretches of a
seat's owners follow each other. Of two orders of which neither's return has
been written, the one that is confirmed further on in the stream therefore
proves that the other was returned. The other's ticket becomes void now, and
its own record, when it comes, finds it so. Whatever the order of writing, the
last owner is the one whose ticket is valid in the end.

Two orders that really have one seat are found all the same: the ticket of one
is void while the order is confirmed, which the audit compares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from engine.write_behind.projections import Row
from engine.write_behind.tables import Connected

_ORDER, _TICKET, _VERSION, _STATUS, _SEAT = 1, 2, 3, 5, 8  # places in a ticket's row

# Of an order's records that have it confirmed any will do: the stretches do not overlap.
_RIVALS: Final = """
    SELECT t.occurrence_id, t.order_id, t.id, t.seat_guid,
           (SELECT e.entry FROM order_events e
            WHERE e.occurrence_id = t.occurrence_id AND e.order_id = t.order_id
              AND e.state = 'confirmed' LIMIT 1) AS entry
    FROM unnest($1::uuid[], $2::text[]) AS s (occurrence_id, seat_guid)
    JOIN tickets t ON t.occurrence_id = s.occurrence_id AND t.seat_guid = s.seat_guid
         AND t.status = 'valid'"""
_VOID: Final = """
    UPDATE tickets AS t SET status = 'void'
    FROM unnest($1::uuid[], $2::uuid[]) AS s (occurrence_id, id)
    WHERE t.occurrence_id = s.occurrence_id AND t.id = s.id"""


class _Claim(NamedTuple):
    """The ticket of an order that is confirmed at ``entry``; the largest claim has the seat."""

    entry: tuple[int, int]
    order: str
    ticket: str


async def settle(
    connection: Connected,
    tickets: Sequence[Row],
    entries: Mapping[str, str],
    versions: Mapping[str, int],
) -> list[Row]:
    """Return a batch's tickets, those void whose seats went on to others; void others' tickets.

    ``entries``: where in the stream an order of the batch is confirmed;
    ``versions``: of its orders that are in PostgreSQL. Nobody else may write.
    """
    changing = [row for row in tickets if row[_VERSION] > versions.get(row[_ORDER], 0)]
    changed = {row[_TICKET] for row in changing}
    claims: dict[tuple[str, str], list[_Claim]] = {}
    for row in changing:
        if row[_STATUS] == "valid" and row[_SEAT] is not None:
            claim = _Claim(_position(entries[row[_ORDER]]), row[_ORDER], row[_TICKET])
            claims.setdefault((row[0], row[_SEAT]), []).append(claim)
    if not claims:
        return list(tickets)
    for found in await connection.fetch(_RIVALS, *zip(*claims, strict=True)):
        ticket = found["id"].hex
        if ticket not in changed:
            claim = _Claim(_position(found["entry"]), found["order_id"].hex, ticket)
            claims[found["occurrence_id"].hex, found["seat_guid"]].append(claim)
    lost = {
        (occurrence, claim.ticket)
        for (occurrence, _), of_seat in claims.items()
        for claim in of_seat
        if claim.order != max(of_seat).order
    }
    await connection.execute(
        _VOID,
        [occurrence for occurrence, _ in lost],
        [ticket for _, ticket in lost],
    )
    settled = [
        (*row[:_STATUS], "void", *row[_STATUS + 1 :]) if (row[0], row[_TICKET]) in lost else row
        for row in tickets
    ]
    return sorted(settled, key=lambda row: row[_STATUS], reverse=True)


def _position(entry: str | None) -> tuple[int, int]:
    """Return an entry's position in its stream."""
    milliseconds, _, number = (entry or "").partition("-")
    return int(milliseconds or 0), int(number or 0)
