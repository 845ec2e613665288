"""Who comes, what they want and how it ends with them: drawn from a seed, before it begins."""

from __future__ import annotations

import random
from typing import Literal, TypeVar

import msgspec

T = TypeVar("T")
Way = Literal["map", "best", "standing"]
Ending = Literal[
    "pays",
    "releases",  # gives the hold back
    "walks_away",  # lets the hold run out
    "never_pays",  # lets the order run out
    "pays_late",  # about when the time to pay is over
    "bank_late",  # by a bank debit that ends after the time to pay
    "pays_twice",  # checks out twice at once, pays twice at once
    "declined",  # then pays with another card
    "gives_up",  # is declined and cancels
]

InLine = Literal[
    "comes",  # goes in when called
    "no_show",  # does not
    "leaves",  # gives the place up while waiting
    "pushes",  # tries to hold tickets before the turn has come
]

_WAYS: dict[Way, int] = {"map": 45, "best": 35, "standing": 20}
_COUNTS = {1: 25, 2: 45, 3: 12, 4: 18}
_ENDINGS: dict[Ending, int] = {
    "pays": 60,
    "releases": 5,
    "walks_away": 5,
    "never_pays": 3,
    "pays_late": 4,
    "bank_late": 3,
    "pays_twice": 8,
    "declined": 9,
    "gives_up": 3,
}
_IN_LINE: dict[InLine, int] = {"comes": 86, "no_show": 5, "leaves": 5, "pushes": 4}
_CHALLENGED = 0.15  # of the cards want 3-D Secure
_EARLY = 0.85  # of the buyers come before the opening
_EARLY_S = 8.0  # so long before it at most
_LATE_S = 4.0  # the mean of arrivals after it
_TWO_DEVICES = 0.08
_SOCKETS_MAX = 300  # buyers who wait on a WebSocket, the others ask now and then
_SOLVERS_MAX = 30  # who solve a challenge of the door; see line.py


class Persona(msgspec.Struct, frozen=True, kw_only=True):
    """A buyer. ``arrives_s``: after the opening, or before it; ``seed``: of all else.

    ``count``: tickets; ``devices``: all of them in line; ``listens``: waits on a
    WebSocket; ``solves``: a challenge of the door.
    """

    name: str
    arrives_s: float
    in_line: InLine
    devices: int
    listens: bool
    solves: bool
    way: Way
    count: int
    ending: Ending
    challenged: bool
    seed: int


def draw(count: int, seed: int) -> list[Persona]:
    """Return so many buyers; the same seed gives the same ones."""
    rng = random.Random(seed)  # noqa: S311 - a play, not a secret
    listens, solves = (max(-(-count // most), 2) for most in (_SOCKETS_MAX, _SOLVERS_MAX))
    return [
        Persona(
            name=f"buyer-{number}",
            arrives_s=_arrival(rng),
            in_line=_pick(rng, _IN_LINE),
            devices=2 if rng.random() < _TWO_DEVICES else 1,
            listens=number % listens == 0,
            solves=number % solves == 0,
            way=_pick(rng, _WAYS),
            count=_pick(rng, _COUNTS),
            ending=_pick(rng, _ENDINGS),
            challenged=rng.random() < _CHALLENGED,
            seed=rng.getrandbits(32),
        )
        for number in range(1, count + 1)
    ]


def _arrival(rng: random.Random) -> float:
    if rng.random() < _EARLY:
        return -rng.uniform(0.0, _EARLY_S)
    return min(rng.expovariate(1 / _LATE_S), 3 * _LATE_S)


def _pick(rng: random.Random, weights: dict[T, int]) -> T:
    return rng.choices(list(weights), list(weights.values()))[0]
