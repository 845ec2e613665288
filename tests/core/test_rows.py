from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sale.inventory.rows import Point, Spacings, is_aisle, sitting_order, usual_spacing

SPACING = 25.0


def line(*places: float) -> list[Point]:
    return [(at * SPACING, 0.0) for at in places]


def arc(n: int, degrees: float) -> list[Point]:
    """Seats on an arc, an open one up to 300 degrees."""
    step = math.radians(degrees) / (n - 1)
    radius = SPACING / (2 * math.sin(step / 2))
    return [(radius * math.cos(i * step), radius * math.sin(i * step)) for i in range(n)]


def turned(points: list[Point], degrees: float) -> list[Point]:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return [(round(x * cos - y * sin, 3), round(x * sin + y * cos, 3)) for x, y in points]


def u_shape(n: int) -> list[Point]:
    """Around three sides: down one arm, along, and up the other."""
    down = [(0.0, (n - i) * SPACING) for i in range(n)]
    along = [(i * SPACING, 0.0) for i in range(1, n)]
    return [*down, *along, *(((n - 1) * SPACING, i * SPACING) for i in range(1, n))]


SHAPES = {
    "straight": line(*range(12)),
    "with an aisle": line(*range(6), *range(9, 15)),
    "pairs": line(0, 1, 4, 5, 8, 9),
    "a gentle bend": arc(20, 60),
    "half a circle": arc(20, 180),
    "a horseshoe": arc(24, 270),
    "around a corner": u_shape(8),
    "one seat": line(0),
    "two seats": line(0, 1),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("degrees", [0, 30, 90, 135, 180])
def test_whatever_the_list_says_people_sit_along_the_row(shape: str, degrees: float) -> None:
    floor = turned(SHAPES[shape], degrees)
    halves = floor[::2] + floor[1::2]
    shuffled = random.Random(shape).sample(floor, len(floor))  # noqa: S311 - a test's dice
    for listed in (floor, floor[::-1], halves, shuffled):
        assert sitting_order(listed, lambda seat: seat) in (floor, floor[::-1])
    assert sitting_order(floor, lambda seat: seat) == floor


def test_without_coordinates_the_list_is_the_order() -> None:
    seats = [(0.0, 0.0, name) for name in "ACEBD"]
    assert sitting_order(seats, lambda seat: seat[:2]) == seats
    assert sitting_order([], lambda seat: seat) == []


@pytest.mark.parametrize(
    ("steps", "usual"),
    [
        ([], 0),
        ([0, 0], 0),
        ([25, 25, 25], 25),
        ([25, 50, 25, 25], 25),
        ([25, 75, 25, 75, 25], 25),
        ([75, 25, 75, 25, 75], 25),  # single seats at both ends of two pairs
        ([20, 22, 25, 28, 30], 25),
        ([50, 50, 50], 50),  # everybody sits apart
    ],
)
def test_the_usual_spacing_is_none_of_the_aisles(steps: list[float], usual: float) -> None:
    assert usual_spacing(steps) == usual


@pytest.mark.parametrize(
    ("step", "usual", "expected"),
    [(25, 25, False), (37, 25, False), (38, 25, True), (50, 25, True), (50, 0, False)],
)
def test_an_aisle_is_clearly_wider_than_usual(step: float, usual: float, *, expected: bool) -> None:
    assert is_aisle(step, usual) is expected


def test_a_short_row_is_judged_by_the_others() -> None:
    spacings = Spacings()
    for row in range(3):
        spacings.add(0, row, [(place, "A") for place in line(*range(8))])
    spacings.add(0, 3, [(place, "A") for place in line(0, 3)])  # an aisle between two seats
    spacings.add(1, 0, [(place, "A") for place in line(0, 3)])  # and in a section of its own
    spacings.add(2, 0, [(place, "B") for place in line(0, 2)])  # a category of its own
    spacings.add(3, 0, [(place, "C") for place in line(*range(0, 20, 2))])  # armchairs
    for section, row, group in ((0, 3, "A"), (1, 0, "A"), (2, 0, "B")):
        assert spacings.usual(section, row, group) == SPACING
    assert spacings.usual(3, 0, "C") == 2 * SPACING


@given(
    groups=st.lists(st.integers(2, 9), min_size=1, max_size=6),
    gaps=st.lists(st.floats(2.0, 6.0), min_size=5, max_size=5),
    jitter=st.floats(0.0, 0.15),
    degrees=st.floats(0, 360),
    seed=st.integers(0, 2**32),
)
def test_a_row_is_parted_where_its_aisles_are_and_nowhere_else(
    groups: list[int], gaps: list[float], jitter: float, degrees: float, seed: int
) -> None:
    dice = random.Random(seed)  # noqa: S311 - a test's dice
    at, places, aisles = 0.0, [0.0], []
    for index, size in enumerate(groups):
        if index:
            aisles.append(len(places))
            at += gaps[index - 1]
            places.append(at)
        for _ in range(size - 1):
            at += 1 + dice.uniform(-jitter, jitter)
            places.append(at)
    floor = turned(line(*places), degrees)
    seats = sitting_order(dice.sample(floor, len(floor)), lambda seat: seat)
    if seats[0] != floor[0]:
        seats = seats[::-1]
    assert seats == floor
    spacings = Spacings()
    spacings.add(0, 0, [(place, "A") for place in floor])
    usual = spacings.usual(0, 0, "A")
    parted = [i for i in range(1, len(floor)) if is_aisle(math.dist(floor[i - 1], floor[i]), usual)]
    assert parted == aisles
