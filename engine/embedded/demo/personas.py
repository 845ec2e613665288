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
_CHALLENGED = 0.15  # of the cards want 3-D Secure
_RUSH_S = 3.0  # the mean of arrivals after the opening; most come in the first seconds


class Persona(msgspec.Struct, frozen=True, kw_only=True):
    """A buyer. ``arrives_s``: after the opening; ``count``: tickets; ``seed``: of all else."""

    name: str
    arrives_s: float
    way: Way
    count: int
    ending: Ending
    challenged: bool
    seed: int


def draw(count: int, seed: int) -> list[Persona]:
    """Return so many buyers; the same seed gives the same ones."""
    rng = random.Random(seed)  # noqa: S311 - a play, not a secret
    return [
        Persona(
            name=f"buyer-{number}",
            arrives_s=min(rng.expovariate(1 / _RUSH_S), 4 * _RUSH_S),
            way=_pick(rng, _WAYS),
            count=_pick(rng, _COUNTS),
            ending=_pick(rng, _ENDINGS),
            challenged=rng.random() < _CHALLENGED,
            seed=rng.getrandbits(32),
        )
        for number in range(1, count + 1)
    ]


def _pick(rng: random.Random, weights: dict[T, int]) -> T:
    return rng.choices(list(weights), list(weights.values()))[0]
