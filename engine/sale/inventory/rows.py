"""Rows on the floor: in which order people sit in one, and where an aisle parts them.

Pure functions. A plan lists the seats of a row in any order (1, 3, 5, 2, 4, 6) and lets it run
on over aisles; only coordinates tell who sits beside whom. Where a plan has none, its list is all
that is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import pairwise
from typing import Final, TypeVar

AISLE: Final = 1.5  # times the usual spacing: seats further apart than that are no neighbours
STEPS_ENOUGH: Final = 4  # spacings that make a usual one; of fewer half may be aisles
_CLOSE: Final = 1e-6  # plan units: rounding, not a step

Point = tuple[float, float]
T = TypeVar("T")


def sitting_order(seats: Sequence[T], place: Callable[[T], Point]) -> list[T]:
    """Return the seats of a row from one end to the other; as listed where that is such an order.

    Of several orders the one with the shortest way from seat to seat is taken: the list itself,
    the order along the row's longer axis, and the way to the nearest seat not passed yet, which
    follows bends. It begins with the end that is listed first.
    """
    points = [place(seat) for seat in seats]
    along = _along_axis(points)
    if along in (list(range(len(points))), list(range(len(points)))[::-1]):
        return list(seats)
    orders = [list(range(len(points))), along, _walk(points, _end(points))]
    best = min(orders, key=lambda order: round(_way([points[i] for i in order]), 6))
    if best[0] > best[-1]:
        best = best[::-1]
    return [seats[i] for i in best]


def usual_spacing(steps: Iterable[float]) -> float:
    """Return the usual one of the distances between seats that follow each other; 0: there is none.

    It is the median. Where half of the steps are aisles (pairs of seats) it would be an aisle:
    then it is the lower quartile.
    """
    found = sorted(step for step in steps if step > _CLOSE)
    if not found:
        return 0.0
    median, quartile = found[(len(found) - 1) // 2], found[(len(found) - 1) // 4]
    return quartile if median > quartile * AISLE else median


def is_aisle(step: float, usual: float) -> bool:
    """Tell whether seats so far apart are no neighbours. Without a usual spacing all are."""
    return usual > 0 and step > usual * AISLE


class Spacings:
    """The usual spacing of each row and group of seats (a category) of a plan.

    A row of few seats does not tell its own: two of them may have an aisle between them. Then
    the section's counts too, and the plan's, and the least of these.
    """

    def __init__(self) -> None:
        self._steps: dict[tuple[Hashable, ...], list[float]] = {}
        self._usual: dict[tuple[Hashable, ...], float] = {}

    def add(self, section: int, row: int, seats: Sequence[tuple[Point, Hashable]]) -> None:
        """Take note of a row: each seat's place and group, in the order in which people sit."""
        for (a, group), (b, other) in pairwise(seats):
            step = math.dist(a, b)
            if group == other and step > _CLOSE:
                for level in ((group, section, row), (group, section), (group,), ()):
                    self._steps.setdefault(level, []).append(step)

    def usual(self, section: int, row: int, group: Hashable) -> float:
        """Return the usual spacing of a group's seats in a row; 0: nothing is known of any."""
        found: list[float] = []
        for level in ((group, section, row), (group, section), (group,), ()):
            usual = self._of(level)
            if usual > 0:
                found.append(usual)
            if len(self._steps.get(level, ())) >= STEPS_ENOUGH:
                break
        return min(found, default=0.0)

    def _of(self, level: tuple[Hashable, ...]) -> float:
        usual = self._usual.get(level)
        if usual is None:
            usual = self._usual[level] = usual_spacing(self._steps.get(level, ()))
        return usual


def _way(points: Sequence[Point]) -> float:
    return sum(math.dist(a, b) for a, b in pairwise(points))


def _along_axis(points: Sequence[Point]) -> list[int]:
    """Return the points' indexes in their order along the axis on which they lie furthest apart."""
    n = max(len(points), 1)
    mean_x, mean_y = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    xx = sum((x - mean_x) ** 2 for x, _ in points)
    yy = sum((y - mean_y) ** 2 for _, y in points)
    xy = sum((x - mean_x) * (y - mean_y) for x, y in points)
    angle = math.atan2(2 * xy, xx - yy) / 2
    cos, sin = math.cos(angle), math.sin(angle)
    at = [round(x * cos + y * sin, 6) for x, y in points]
    order = sorted(range(len(points)), key=at.__getitem__)
    return order if not order or order[0] <= order[-1] else sorted(order, key=lambda i: -at[i])


def _end(points: Sequence[Point]) -> int:
    """Return the index of one end: the point furthest away on the tree of shortest steps (Prim)."""
    far = [0.0] * len(points)
    nearest = {i: (math.dist(points[0], points[i]), 0) for i in range(1, len(points))}
    while nearest:
        new = min(nearest, key=nearest.__getitem__)
        step, parent = nearest.pop(new)
        far[new] = far[parent] + step
        for i, known in nearest.items():
            nearest[i] = min(known, (math.dist(points[new], points[i]), new))
    return max(range(len(points)), key=far.__getitem__)


def _walk(points: Sequence[Point], start: int) -> list[int]:
    """Return the points' indexes on the way from ``start`` to the nearest not passed yet, each."""
    left = set(range(len(points))) - {start}
    order = [start]
    while left:
        here = points[order[-1]]
        order.append(min(left, key=lambda i: (math.dist(here, points[i]), i)))
        left.remove(order[-1])
    return order
