"""The seating plan of a stadium of any size: an elliptic bowl, for load.

Plan units are 2 cm, as in the plans in circulation: a seat is 25 wide, a row 40
deep. The ellipse is cut into sectors; a ring is a row all around; the rings are
grouped into tiers. Rows grow longer towards the back, as they do in a bowl.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

from engine.catalogue.seating_plan import PlanCategory, PlanRow, PlanSeat, PlanZone, SeatingPlan

CATEGORIES = (  # by tier and place, the front tier first; then the accessible places
    ("Lower side", "#B03A2E"),
    ("Lower end", "#E87722"),
    ("Middle side", "#1D3557"),
    ("Middle end", "#2A9D8F"),
    ("Upper side", "#8E44AD"),
    ("Upper end", "#F4A300"),
    ("Wheelchair", "#0072B2"),
)
WHEELCHAIR = CATEGORIES[-1][0]
_SEAT_WIDTH = 25.0
_ROW_DEPTH = 40.0
_WALKWAY = 120.0  # between tiers
_MARGIN = 250.0
_AISLE_SEATS = 2  # the aisle takes their room from every row of a section
_WHEELCHAIRS = 2  # at the end of the front row of every other section
_FRONT = (3_100.0, 2_200.0)  # semi-axes of the front row around a full-size pitch
_FULL_SIZE = 55_000
_UPPER_STARTS = (22, 38)  # the first rings of the middle and of the upper tier


def bowl(seats: int) -> SeatingPlan:
    """Return the plan of a bowl with exactly ``seats`` seats (1 or more)."""
    return _Bowl(seats).plan()


class _Bowl:
    def __init__(self, seats: int) -> None:
        self.seats = seats
        self.size = min(1.0, math.sqrt(seats / _FULL_SIZE))
        self.sectors = max(4, min(32, seats // 400 // 4 * 4))
        self.rings = self._rings()
        back = self._axes(len(self.rings) - 1)
        self.centre = (round(back[0] + _MARGIN), round(back[1] + _MARGIN))

    def plan(self) -> SeatingPlan:
        edges = [0, *(min(edge, len(self.rings)) for edge in _UPPER_STARTS), len(self.rings)]
        zones = tuple(
            self._zone(tier, range(first, last), sector)
            for tier, (first, last) in enumerate(pairwise(edges))
            for sector in range(self.sectors)
            if any(self.rings[ring][sector] for ring in range(first, last))
        )
        used = {seat.category for zone in zones for row in zone.rows for seat in row.seats}
        return SeatingPlan(
            name=f"Stadium of {self.seats:,}",
            categories=tuple(
                PlanCategory(name=name, color=color) for name, color in CATEGORIES if name in used
            ),
            zones=zones,
            width=2.0 * self.centre[0],
            height=2.0 * self.centre[1],
        )

    def _axes(self, ring: int) -> tuple[float, float]:
        """Return the semi-axes of the ellipse that a ring of seats lies on."""
        walkways = sum(ring >= start for start in _UPPER_STARTS)
        behind = ring * _ROW_DEPTH + walkways * _WALKWAY
        return _FRONT[0] * self.size + behind, _FRONT[1] * self.size + behind

    def _middle(self, sector: int) -> float:
        return (sector + 0.5) * math.tau / self.sectors

    def _room(self, ring: int, sector: int) -> int:
        """Return how many seat widths the arc of a ring in a sector is long."""
        (a, b), angle = self._axes(ring), self._middle(sector)
        slope = math.hypot(a * math.sin(angle), b * math.cos(angle))
        return max(_AISLE_SEATS + 1, int(slope * math.tau / self.sectors / _SEAT_WIDTH))

    def _rings(self) -> list[list[int]]:
        """Return the seats of each ring and sector; the last ring is thinned out evenly."""
        rings: list[list[int]] = []
        missing = self.seats
        while missing > 0:
            rooms = [self._room(len(rings), sector) for sector in range(self.sectors)]
            ring = [room - _AISLE_SEATS for room in rooms]
            while sum(ring) > missing:
                ring[ring.index(max(ring))] -= 1
            missing -= sum(ring)
            rings.append(ring)
        return rings

    def _zone(self, tier: int, rings: range, sector: int) -> PlanZone:
        name = f"{tier + 1}{sector + 1:02d}"
        x, y = map(round, self._point(rings[0], self._middle(sector)))
        side = abs(math.sin(self._middle(sector))) > math.sqrt(0.5)
        category = CATEGORIES[tier * 2 + (not side)][0]
        return PlanZone(
            name=name,
            x=float(x),
            y=float(y),
            rows=tuple(
                PlanRow(
                    number=str(number),
                    x=0.0,
                    y=0.0,
                    seats=tuple(self._seats(f"{name}-{number}", ring, sector, x, y, category)),
                )
                for number, ring in enumerate(rings, start=1)
                if self.rings[ring][sector]
            ),
        )

    def _seats(
        self, prefix: str, ring: int, sector: int, x: int, y: int, category: str
    ) -> Iterator[PlanSeat]:
        count = self.rings[ring][sector]
        step = math.tau / self.sectors / self._room(ring, sector)
        accessible = _WHEELCHAIRS if ring == 0 and sector % 2 == 0 and count > _WHEELCHAIRS else 0
        for index in range(count):
            angle = self._middle(sector) + (index - (count - 1) / 2) * step
            at = self._point(ring, angle)
            yield PlanSeat(
                guid=f"{prefix}-{index + 1}",
                number=str(index + 1),
                x=round(at[0] - x, 1),
                y=round(at[1] - y, 1),
                category=WHEELCHAIR if index < accessible else category,
            )

    def _point(self, ring: int, angle: float) -> tuple[float, float]:
        a, b = self._axes(ring)
        return self.centre[0] + a * math.cos(angle), self.centre[1] + b * math.sin(angle)
