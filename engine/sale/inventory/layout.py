"""Turns a Snapshot into what the scripts work on: counters, section strings, ranked segments.

Pure functions. Counters are named so that a republication can add new ones
behind the old: ``category:NAME``, ``quota:CODE``, ``tier:TYPE/TIER``.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from engine.core.errors import InvalidRequestError
from engine.platform.valkey.packing import pack
from engine.sale.inventory.rows import Spacings, is_aisle
from engine.sale.inventory.snapshot import Row, Seat, Section, Snapshot, TicketType

FREE, HELD, SOLD, BLOCKED = b".", b"h", b"s", b"x"
SEPARATOR = b"|"
NO_SEGMENT = 0xFFFF
ROOM_UNKNOWN = b"Z"  # of a segment: as in lua/includes/best_available.lua
CATEGORIES_MAX = 58  # a category is one printable byte from "A" on, before "|"
POSITIONS_MAX = 65_535  # of a section: positions are 16-bit numbers
_SECTIONS_MAX = 65_535
_FIRST_CATEGORY = 65
_ACCESSIBLE = frozenset({"wheelchair", "companion"})


class Counter(msgspec.Struct, frozen=True, kw_only=True):
    """A pool of stock; ``blocked`` of its ``capacity`` are set aside."""

    name: str
    capacity: int
    blocked: int = 0


class SectionLayout(msgspec.Struct, frozen=True, kw_only=True):
    """A section's strings. A position has a byte of state, one of category, two of segment rank."""

    seats: bytes
    categories: bytes
    segments: bytes


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """What publication writes. ``ranks``: 8 bytes a segment, best first, for each category.

    ``rooms``: a byte a segment, of how many seats may be free together in it.
    """

    counters: tuple[Counter, ...]
    sections: tuple[SectionLayout, ...]
    ranks: tuple[bytes, ...]
    rooms: tuple[bytes, ...]


def positions(section: Section) -> Iterator[tuple[int, Row, Seat]]:
    """Yield ``(position, row, seat)`` of a section; rows are separated by one position."""
    at = 0
    for row in section.rows:
        for seat in row.seats:
            yield at, row, seat
            at += 1
        at += 1


def counters(snapshot: Snapshot, known: Sequence[str] = ()) -> tuple[Counter, ...]:
    """Return all counters: those named in ``known`` first and in that order, then new ones."""
    seats = [0] * len(snapshot.categories)
    blocked = [0] * len(snapshot.categories)
    for section in snapshot.sections:
        for row in section.rows:
            for seat in row.seats:
                seats[seat.category] += 1
                blocked[seat.category] += seat.blocked
    found = {
        f"category:{category.name}": Counter(
            name=f"category:{category.name}", capacity=seats[i], blocked=blocked[i]
        )
        for i, category in enumerate(snapshot.categories)
    }
    for quota in snapshot.quotas:
        name = f"quota:{quota.code}"
        found[name] = Counter(name=name, capacity=quota.capacity, blocked=quota.blocked)
    for kind in snapshot.ticket_types:
        for tier in kind.tiers:
            if tier.capacity is not None:
                name = f"tier:{kind.code}/{tier.code}"
                found[name] = Counter(name=name, capacity=tier.capacity)
    missing = [name for name in known if name not in found]
    if missing:
        raise InvalidRequestError(f"stock cannot be taken away in mid-sale: {', '.join(missing)}")
    return tuple([found.pop(name) for name in known] + list(found.values()))


def packed_type(snapshot: Snapshot, kind: TicketType, index_of: dict[str, int]) -> bytes:
    """Return a ticket type as the scripts read it (lua/publish.lua)."""
    category = kind.category
    own = [] if category is None else [index_of[f"category:{snapshot.categories[category].name}"]]
    quotas = [index_of[f"quota:{snapshot.quotas[i].code}"] for i in kind.quotas]
    tiers = [
        _without_none(
            {
                "price": tier.price,
                "counter": index_of.get(f"tier:{kind.code}/{tier.code}"),
                "from": tier.starts_at,
                "until": tier.ends_at,
            }
        )
        for tier in kind.tiers
    ]
    packed: bytes = pack(
        _without_none(
            {
                "code": kind.code,
                "category": category,
                "category_char": None if category is None else chr(_FIRST_CATEGORY + category),
                "counters": own + quotas,
                "min": kind.min_per_order,
                "max": kind.max_per_order,
                "buyer_max": kind.max_per_buyer,
                "from": kind.sale_starts_at,
                "until": kind.sale_ends_at,
                "tiers": tiers,
            }
        )
    )
    return packed


def packed_configuration(snapshot: Snapshot, stock: Sequence[Counter], version: int) -> bytes:
    """Return the configuration that every script call reads (lua/publish.lua)."""
    index_of = {counter.name: i for i, counter in enumerate(stock)}
    packed: bytes = pack(
        _without_none(
            {
                "version": version,
                "from": snapshot.sale_starts_at,
                "until": snapshot.sale_ends_at,
                "hold_ms": snapshot.hold_ttl_ms,
                "hold_ms_max": snapshot.hold_ttl_ms_max,
                "pay_ms": snapshot.payment_window_ms,
                "order_max": snapshot.max_per_order,
                "buyer_max": snapshot.max_per_buyer,
                "pools": [index_of[f"category:{c.name}"] for c in snapshot.categories],
                "names": [counter.name for counter in stock],
                "capacities": [counter.capacity for counter in stock],
                "types": [packed_type(snapshot, kind, index_of) for kind in snapshot.ticket_types],
            }
        )
    )
    return packed


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def packed_versions(snapshot: Snapshot) -> bytes:
    """Return the stock version at which each section last changed: the first."""
    return pack([1] * len(snapshot.sections))


def lay_out(snapshot: Snapshot) -> Layout:
    """Return the layout of a snapshot. Raises ``InvalidRequestError`` for one that is too large."""
    if len(snapshot.categories) > CATEGORIES_MAX:
        raise InvalidRequestError(f"at most {CATEGORIES_MAX} seating categories are possible")
    if len(snapshot.sections) > _SECTIONS_MAX:
        raise InvalidRequestError(f"at most {_SECTIONS_MAX} sections are possible")
    ranked = _ranked_segments(snapshot)
    segment_of = [bytearray(b"\xff\xff" * _length(section)) for section in snapshot.sections]
    ranks = []
    for segments in ranked:
        rank = bytearray()
        for at, (section, start, length, focus) in enumerate(segments):
            rank += struct.pack(">HHHH", section, start, length, focus)
            segment_of[section][start * 2 : (start + length) * 2] = struct.pack(">H", at) * length
        ranks.append(bytes(rank))
    sections = tuple(
        SectionLayout(
            seats=SEPARATOR.join(
                b"".join(BLOCKED if seat.blocked else FREE for seat in row.seats)
                for row in section.rows
            ),
            categories=SEPARATOR.join(
                bytes(_FIRST_CATEGORY + seat.category for seat in row.seats) for row in section.rows
            ),
            segments=bytes(segments),
        )
        for section, segments in zip(snapshot.sections, segment_of, strict=True)
    )
    return Layout(
        counters=counters(snapshot),
        sections=sections,
        ranks=tuple(ranks),
        rooms=tuple(ROOM_UNKNOWN * len(segments) for segments in ranked),
    )


def _length(section: Section) -> int:
    length = sum(len(row.seats) for row in section.rows) + max(len(section.rows) - 1, 0)
    if length > POSITIONS_MAX:
        raise InvalidRequestError(f"section {section.name} is too large: split it")
    return length


def _ranked_segments(snapshot: Snapshot) -> list[list[tuple[int, int, int, int]]]:
    """Return the segments of each category, best first, as (section, start, length, focus).

    A segment is better the nearer its best seat is to where people look
    (Euclidean distance), which is front and centre. Wheelchair and companion
    seats are left out where a category has other seats: whoever needs them
    chooses them on the map.
    """
    focus_x, focus_y = _focus(snapshot)
    ordinary, spacings = _ordinary(snapshot), _spacings(snapshot)
    found: list[list[tuple[float, tuple[int, int, int, int]]]] = [[] for _ in snapshot.categories]
    for index, section in enumerate(snapshot.sections):
        for start, seats in _segments(section, index, ordinary, spacings):
            distances = [math.hypot(seat.x - focus_x, seat.y - focus_y) for seat in seats]
            nearest = min(range(len(seats)), key=distances.__getitem__)
            worse = 1.5 if seats[0].kind == "restricted_view" else 1.0
            found[seats[0].category].append(
                (round(distances[nearest] * worse, 3), (index, start, len(seats), nearest))
            )
    for segments in found:
        segments.sort()
        if len(segments) >= NO_SEGMENT:
            raise InvalidRequestError(f"at most {NO_SEGMENT - 1} row segments a category")
    return [[segment for _, segment in segments] for segments in found]


def _segments(
    section: Section, index: int, ordinary: set[int], spacings: Spacings
) -> Iterator[tuple[int, list[Seat]]]:
    """Yield the runs of seats of one category and kind, side by side in a row, with their start.

    Side by side is what the floor says: an aisle parts a run.
    """
    at = 0
    for number, row in enumerate(section.rows):
        run: list[Seat] = []
        for seat in row.seats:
            if run and not _are_neighbours(
                run[-1], seat, spacings.usual(index, number, seat.category)
            ):
                yield at - len(run), run
                run = []
            if _only_on_map(seat, ordinary):
                if run:
                    yield at - len(run), run
                run = []
            else:
                run.append(seat)
            at += 1
        if run:
            yield at - len(run), run
        at += 1


def _are_neighbours(one: Seat, other: Seat, usual_spacing: float) -> bool:
    if one.category != other.category or one.kind != other.kind:
        return False
    return not is_aisle(math.dist((one.x, one.y), (other.x, other.y)), usual_spacing)


def _spacings(snapshot: Snapshot) -> Spacings:
    found = Spacings()
    for index, section in enumerate(snapshot.sections):
        for number, row in enumerate(section.rows):
            found.add(index, number, [((seat.x, seat.y), seat.category) for seat in row.seats])
    return found


def _ordinary(snapshot: Snapshot) -> set[int]:
    """Return the categories that have other seats than wheelchair and companion seats."""
    return {
        seat.category
        for section in snapshot.sections
        for row in section.rows
        for seat in row.seats
        if seat.kind not in _ACCESSIBLE
    }


def _only_on_map(seat: Seat, ordinary: set[int]) -> bool:
    return seat.kind in _ACCESSIBLE and seat.category in ordinary


def only_on_map(snapshot: Snapshot) -> dict[int, list[tuple[int, int]]]:
    """Return the seats that only who chooses them on the map gets: category -> (section, position).

    Wheelchair and companion seats, where their category has other seats.
    """
    ordinary = _ordinary(snapshot)
    found: dict[int, list[tuple[int, int]]] = {}
    for index, section in enumerate(snapshot.sections):
        for at, _, seat in positions(section):
            if _only_on_map(seat, ordinary):
                found.setdefault(seat.category, []).append((index, at))
    return found


def _focus(snapshot: Snapshot) -> tuple[float, float]:
    """Return where people look: as given, or the middle of the front edge of the seats."""
    if snapshot.focus_x is not None and snapshot.focus_y is not None:
        return snapshot.focus_x, snapshot.focus_y
    seats = [seat for section in snapshot.sections for row in section.rows for seat in row.seats]
    if not seats:
        return 0.0, 0.0
    xs = [seat.x for seat in seats]
    return (min(xs) + max(xs)) / 2, min(seat.y for seat in seats)
