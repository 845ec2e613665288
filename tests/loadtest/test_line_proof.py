"""The demo finds a number that nobody drew, and a place that is another buyer's."""

from __future__ import annotations

import hashlib

import pytest

from devkit.demo.line_proof import wrong_places
from devkit.demo.line_tally import Seen
from engine.core.ids import new_id
from engine.queue.draw import numbers as draw
from engine.queue.draw.verification import PublishedDraw

OCCURRENCE = new_id()
BUYERS = [new_id() for _ in range(5)]
ROSTER = b"".join(draw.leaf(OCCURRENCE, buyer) for buyer in BUYERS)
SEED, DIGEST = bytes(range(32)), hashlib.sha256(ROSTER).digest()
DRAW = PublishedDraw(
    commitment=draw.commitment(SEED), drawn=True, n=5, seed=SEED.hex(), digest=DIGEST.hex()
)
NUMBERS = [draw.number(draw.draw_key(SEED, DIGEST), 5, slot) for slot in range(5)]


def told(**changed: Seen) -> list[str]:
    places = {buyer: {Seen(slot, NUMBERS[slot])} for slot, buyer in enumerate(BUYERS)}
    late = {"0" * 32: {changed.get("late", Seen(6, 7))}}
    first = {BUYERS[0]: {changed["first"]}} if "first" in changed else {}
    return list(wrong_places(DRAW, ROSTER, OCCURRENCE, {**places, **late, **first}))


def test_places_as_they_were_drawn_are_right() -> None:
    assert told() == []


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"first": Seen(0, NUMBERS[1])}, "was drawn"),
        ({"first": Seen(1, NUMBERS[1])}, "is not that of buyer"),
        ({"late": Seen(6, 6)}, "and 7 was drawn"),
    ],
)
def test_what_does_not_agree_is_told(changed: dict[str, Seen], says: str) -> None:
    (sentence,) = told(**changed)
    assert says in sentence
