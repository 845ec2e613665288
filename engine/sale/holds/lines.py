"""From what a buyer asks for to what the scripts take: codes and guids become indexes."""

from __future__ import annotations

from typing import Any

from engine.core.errors import InvalidRequestError
from engine.sale.errors import LinesUnavailableError
from engine.sale.inventory.occurrences import Published
from engine.sale.requests import HoldChange, LineRequest, RemoveRequest

Lines = list[list[Any]]


def wanted_lines(published: Published, requests: list[LineRequest]) -> Lines:
    """Return ``[type, quantity, seats or False, split]`` for each request.

    Raises ``LinesUnavailableError`` naming every line with an unknown type or
    seat, ``InvalidRequestError`` for a line that names both or neither of
    seats and quantity.
    """
    lines: Lines = []
    failures: list[dict[str, Any]] = []
    for index, request in enumerate(requests):
        kind = published.types.get(request.ticket_type)
        if kind is None:
            failures.append({"line": index, "code": "unknown_ticket_type"})
        elif request.seats is not None:
            if request.quantity is not None:
                raise _both_or_neither(f"$.lines[{index}]")
            unknown = [guid for guid in request.seats if guid not in published.seats]
            if unknown:
                failures.append({"line": index, "code": "wrong_seats", "seats": unknown})
            else:
                lines.append(_with_seats(published, kind, request.seats))
        elif request.quantity is None:
            raise _both_or_neither(f"$.lines[{index}]")
        else:
            lines.append([kind, request.quantity, False, request.allow_split])
    if failures:
        raise LinesUnavailableError(lines=failures)
    return lines


def changed_lines(published: Published, change: HoldChange) -> tuple[Lines, Lines]:
    """Return the lines to add and to remove; failing removals count on after the additions."""
    add = wanted_lines(published, change.add)
    remove: Lines = []
    failures: list[dict[str, Any]] = []
    for index, request in enumerate(change.remove):
        line = _removal(published, request, index)
        if line is None:
            failures.append({"line": len(change.add) + index, "code": "not_held"})
        else:
            remove.append(line)
    if failures:
        raise LinesUnavailableError(lines=failures)
    if not add and not remove:
        raise InvalidRequestError("Say what to add or to remove", path="$")
    return add, remove


def _removal(published: Published, request: RemoveRequest, index: int) -> list[Any] | None:
    kind = published.types.get(request.ticket_type)
    if (request.seats is None) == (request.quantity is None):
        raise _both_or_neither(f"$.remove[{index}]")
    if kind is None:
        return None
    if request.seats is None:
        return [kind, request.quantity, False]
    if any(guid not in published.seats for guid in request.seats):
        return None
    return _with_seats(published, kind, request.seats)[:3]


def _with_seats(published: Published, kind: int, guids: list[str]) -> list[Any]:
    seats: list[int] = []
    for guid in guids:
        section, position, _ = published.seats[guid]
        seats.append(section)
        seats.append(position)
    return [kind, len(guids), seats, False]


def _both_or_neither(path: str) -> InvalidRequestError:
    return InvalidRequestError("Give either seats or a quantity, not both", path=path)
