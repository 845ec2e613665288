"""The seating-plan JSON that pretix and its tools exchange, read and written.

A plan has categories and zones; a zone has rows and drawn areas; a row has
seats. Positions are relative to what contains them. What the product does not
read itself (areas, labels, uuids, members that nobody has heard of) is kept in
``members``, so that writing gives a document equal to the one that was read.
"""

from __future__ import annotations

import codecs
import re
from typing import Any

import msgspec

from engine.catalogue.problems import Problems, nearest, shown, unstorable
from engine.sale.inventory import layout

BYTES_MAX = 64 * 1024 * 1024
CATEGORIES_MAX = layout.CATEGORIES_MAX  # each is a printable byte in the store
ZONES_MAX = 2_000
ROWS_MAX = 1_000  # of a zone
SEATS_MAX = 1_000  # of a row
PLAN_SEATS_MAX = 200_000  # no venue on earth has more
TEXT_MAX = 200
GUID_MAX = 64  # buyers name seats by it, see engine.sale.requests.Guid
COORDINATE_MAX = 1_000_000

_NUMBER_MAX = 2**53  # beyond it readers of JSON disagree
_LONG_NUMBER = re.compile(rb"[0-9]{16}")
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


class PlanCategory(msgspec.Struct, frozen=True, kw_only=True):
    """A category of seats, e.g. a price level."""

    name: str
    color: str | None = None
    members: dict[str, Any] = {}


class PlanSeat(msgspec.Struct, frozen=True, kw_only=True):
    """A seat. ``x``/``y``: from its row's position, in plan units."""

    guid: str
    number: str
    x: float
    y: float
    category: str
    members: dict[str, Any] = {}


class PlanRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row. ``x``/``y``: from its zone's position; None: none was given, which means 0."""

    number: str
    x: float | None
    y: float | None
    seats: tuple[PlanSeat, ...]
    members: dict[str, Any] = {}


class PlanZone(msgspec.Struct, frozen=True, kw_only=True):
    """A zone: a block of rows. ``x``/``y``: from the plan's corner."""

    name: str | None
    x: float
    y: float
    rows: tuple[PlanRow, ...]
    members: dict[str, Any] = {}


class SeatingPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A whole plan. ``width``/``height``: plan units, None when the plan does not say."""

    name: str
    categories: tuple[PlanCategory, ...]
    zones: tuple[PlanZone, ...]
    width: float | None = None
    height: float | None = None
    members: dict[str, Any] = {}

    @property
    def seat_count(self) -> int:
        """The number of seats."""
        return sum(len(row.seats) for zone in self.zones for row in zone.rows)


def read_plan(data: bytes, what: str = "The seating plan") -> SeatingPlan:
    """Parse a seating plan.

    Raises :class:`InvalidDocumentError` that names every mistake by its path,
    e.g. ``zones[2].rows[0].seats[3].category``.
    """
    problems = Problems()
    plan = _Reader(problems).plan(_decoded(data, problems))
    problems.check(what)
    return plan


def write_plan(plan: SeatingPlan) -> bytes:
    """Return the plan as JSON, indented by one space like the plans in circulation."""
    return msgspec.json.format(msgspec.json.encode(plan_document(plan)), indent=1) + b"\n"


def plan_document(plan: SeatingPlan) -> dict[str, Any]:
    """Return the plan as the JSON members that it is exchanged as."""
    document: dict[str, Any] = {"name": plan.name}
    document["categories"] = [
        {
            "name": category.name,
            **({} if category.color is None else {"color": category.color}),
            **category.members,
        }
        for category in plan.categories
    ]
    if plan.width is not None and plan.height is not None:
        document["size"] = {
            "width": _number(plan.width),
            "height": _number(plan.height),
            **plan.members.get("size", {}),
        }
    document["zones"] = [_zone_document(zone) for zone in plan.zones]
    return {**plan.members, **document}


def _zone_document(zone: PlanZone) -> dict[str, Any]:
    named = {} if zone.name is None else {"name": zone.name}
    return {
        **zone.members,
        **named,
        "position": _place(zone.x, zone.y, zone.members),
        "rows": [
            {
                **row.members,
                "row_number": row.number,
                **(
                    {}
                    if row.x is None or row.y is None
                    else {"position": _place(row.x, row.y, row.members)}
                ),
                "seats": [
                    {
                        **seat.members,
                        "seat_guid": seat.guid,
                        "seat_number": seat.number,
                        "position": _place(seat.x, seat.y, seat.members),
                        "category": seat.category,
                    }
                    for seat in row.seats
                ],
            }
            for row in zone.rows
        ],
    }


def _place(x: float, y: float, members: dict[str, Any]) -> dict[str, Any]:
    return {"x": _number(x), "y": _number(y), **members.get("position", {})}


def _number(value: float) -> float:
    return int(value) if value == int(value) else value


def _decoded(data: bytes, problems: Problems) -> Any:
    if len(data) > BYTES_MAX:
        problems.add("", f"is larger than {BYTES_MAX // 1024**2} MiB")
        return {}
    if _NUL.search(data):
        problems.add("", "holds a NUL character (\\u0000), which cannot be stored")
    try:
        decoded = msgspec.json.decode(data.removeprefix(codecs.BOM_UTF8))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        problems.add("", f"is not JSON: {error}")
        return {"name": "", "categories": [], "zones": []}
    if _LONG_NUMBER.search(data):
        _check_numbers(decoded, problems)
    return decoded


def _check_numbers(decoded: Any, problems: Problems) -> None:
    """Note numbers that cannot be stored, also in members that are only kept."""
    left = [("", decoded)]
    while left:
        path, node = left.pop()
        if isinstance(node, dict):
            left += [(f"{path}.{name}" if path else name, item) for name, item in node.items()]
        elif isinstance(node, list):
            left += [(f"{path}[{index}]", item) for index, item in enumerate(node)]
        elif isinstance(node, int) and not -_NUMBER_MAX <= node <= _NUMBER_MAX:
            problems.add(path, "is too large a number")


class _Reader:
    """Walks a decoded plan; each method takes a node and its path, and notes what is wrong."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems
        self.categories: list[str] = []
        self.guids: dict[str, str] = {}

    def plan(self, node: Any) -> SeatingPlan:
        members = self._members(node, "")
        name = self._text(members, "name", "")
        categories = tuple(
            self._category(item, path)
            for path, item in self._items(members, "categories", "", CATEGORIES_MAX)
        )
        size = self._members(members.pop("size"), "size") if "size" in members else None
        width = None if size is None else self._measure(size, "width", "size", minimum=0)
        height = None if size is None else self._measure(size, "height", "size", minimum=0)
        if size:
            members["size"] = size
        zones = tuple(
            self._zone(item, path) for path, item in self._items(members, "zones", "", ZONES_MAX)
        )
        if len(self.guids) > PLAN_SEATS_MAX:
            self.problems.add("zones", f"hold more than {PLAN_SEATS_MAX:,} seats")
        return SeatingPlan(
            name=name,
            categories=categories,
            zones=zones,
            width=width,
            height=height,
            members=members,
        )

    def _category(self, node: Any, path: str) -> PlanCategory:
        members = self._members(node, path)
        name = self._text(members, "name", path)
        if name in self.categories:
            self.problems.add(f"{path}.name", f"{shown(name)} is the name of two categories")
        self.categories.append(name)
        color = self._text(members, "color", path) if "color" in members else None
        return PlanCategory(name=name, color=color, members=members)

    def _zone(self, node: Any, path: str) -> PlanZone:
        members = self._members(node, path)
        x, y = self._position(members, path)
        return PlanZone(
            name=self._text(members, "name", path) if "name" in members else None,
            x=x,
            y=y,
            rows=tuple(
                self._row(item, at) for at, item in self._items(members, "rows", path, ROWS_MAX)
            ),
            members=members,
        )

    def _row(self, node: Any, path: str) -> PlanRow:
        members = self._members(node, path)
        placed = "position" in members
        x, y = self._position(members, path) if placed else (None, None)
        return PlanRow(
            number=self._text(members, "row_number", path, empty=True),
            x=x,
            y=y,
            seats=tuple(
                self._seat(item, at) for at, item in self._items(members, "seats", path, SEATS_MAX)
            ),
            members=members,
        )

    def _seat(self, node: Any, path: str) -> PlanSeat:
        members = self._members(node, path)
        guid = self._text(members, "seat_guid", path, length_max=GUID_MAX)
        number = self._text(members, "seat_number", path, empty=True)
        category = self._text(members, "category", path)
        x, y = self._position(members, path)
        if guid in self.guids:
            self.problems.add(
                f"{path}.seat_guid", f"{shown(guid)} is the guid of {self.guids[guid]} too"
            )
        elif guid:
            self.guids[guid] = path
        if category and category not in self.categories:
            self.problems.add(
                f"{path}.category",
                f"{shown(category)} is not among the categories"
                f"{nearest(category, self.categories)}",
            )
        return PlanSeat(guid=guid, number=number, x=x, y=y, category=category, members=members)

    def _members(self, node: Any, path: str) -> dict[str, Any]:
        if isinstance(node, dict):
            return dict(node)
        self.problems.add(path, f"must be an object, not {shown(node)}")
        return {}

    def _items(
        self, members: dict[str, Any], name: str, path: str, length_max: int
    ) -> list[tuple[str, Any]]:
        at = f"{path}.{name}" if path else name
        if name not in members:
            self.problems.add(at, "is missing")
            return []
        node = members.pop(name)
        if not isinstance(node, list):
            self.problems.add(at, f"must be a list, not {shown(node)}")
            return []
        if len(node) > length_max:
            self.problems.add(at, f"has {len(node):,} items, more than {length_max:,}")
            return []
        return [(f"{at}[{index}]", item) for index, item in enumerate(node)]

    def _text(
        self,
        members: dict[str, Any],
        name: str,
        path: str,
        *,
        length_max: int = TEXT_MAX,
        empty: bool = False,
    ) -> str:
        at = f"{path}.{name}" if path else name
        if name not in members:
            self.problems.add(at, "is missing")
            return ""
        node = members.pop(name)
        if not isinstance(node, str):
            self.problems.add(at, f"must be text, not {shown(node)}")
            return ""
        if (character := unstorable(node)) is not None:
            self.problems.add(at, f"holds {character}, which cannot be stored")
            return ""
        if len(node) > length_max or not (node or empty):
            self.problems.add(at, f"must have {int(not empty)} to {length_max} characters")
            return ""
        return node

    def _position(self, members: dict[str, Any], path: str) -> tuple[float, float]:
        at = f"{path}.position"
        if "position" not in members:
            self.problems.add(at, "is missing")
            return 0, 0
        place = self._members(members.pop("position"), at)
        x, y = self._measure(place, "x", at), self._measure(place, "y", at)
        if place:
            members["position"] = place
        return x, y

    def _measure(
        self, members: dict[str, Any], name: str, path: str, minimum: float = -COORDINATE_MAX
    ) -> float:
        at = f"{path}.{name}"
        if name not in members:
            self.problems.add(at, "is missing")
            return 0
        node = members.pop(name)
        if not isinstance(node, int | float) or isinstance(node, bool):
            self.problems.add(at, f"must be a number, not {shown(node)}")
            return 0
        if not minimum <= node <= COORDINATE_MAX:
            self.problems.add(at, f"must be from {minimum:,} to {COORDINATE_MAX:,}")
            return 0
        return float(node)
