"""The draw: a permutation, uniform, reproducible by anybody from what is published."""

from __future__ import annotations

import hashlib
import itertools
import math
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from engine.core.ids import new_id
from engine.queue.draw import numbers as draw
from engine.queue.draw.numbers import (
    EMPTY,
    LEAF_BYTES,
    commitment,
    draw_key,
    invert,
    leaf,
    number,
    permute,
)

DOCUMENT = Path(__file__).parents[2] / "docs/verify-the-draw.md"
_SIZES = (1, 2, 3, 4, 5, 16, 17, 100, 1_000)


def key_of(nth: int) -> bytes:
    """The key of a seed that is different for every ``nth`` and always the same."""
    seed = hashlib.sha256(b"seed %d" % nth).digest()
    return draw_key(seed, hashlib.sha256(b"roster").digest())


def chi_squared_max(degrees: int, sigmas: float = 4.0) -> float:
    """The value that chi-squared exceeds with the chance of so many sigmas (4: 3e-5).

    By the cube root's normal approximation (Wilson and Hilferty 1931).
    """
    spread = 2 / (9 * degrees)
    return degrees * (1 - spread + sigmas * math.sqrt(spread)) ** 3


def chi_squared(counts: Counter[int], cells: int) -> float:
    expected = counts.total() / cells
    return sum((counts[cell] - expected) ** 2 / expected for cell in range(cells))


@pytest.mark.parametrize("n", _SIZES)
def test_every_place_gets_one_number_and_every_number_one_place(n: int) -> None:
    key = key_of(n)
    drawn = [permute(key, n, index) for index in range(n)]
    assert sorted(drawn) == list(range(n))
    assert [invert(key, n, place) for place in drawn] == list(range(n))


def test_a_million_places_are_inverted_too() -> None:
    key = key_of(7)
    for index in range(0, 1_000_000, 99_991):
        assert invert(key, 1_000_000, permute(key, 1_000_000, index)) == index


@pytest.mark.parametrize(("n", "value"), [(5, 5), (5, -1), (0, 0), (1, 1)])
def test_what_is_no_place_is_refused(n: int, value: int) -> None:
    for function in (permute, invert):
        with pytest.raises(ValueError, match="not one of"):
            function(key_of(1), n, value)


@pytest.mark.parametrize(("n", "index"), [(10, 0), (10, 3), (10, 9), (7, 2)])
def test_the_number_of_a_place_is_uniform_over_the_seeds(n: int, index: int) -> None:
    counts = Counter(permute(key_of(nth), n, index) for nth in range(4_000))
    assert chi_squared(counts, n) < chi_squared_max(n - 1)


def test_the_numbers_of_two_places_are_uniform_together() -> None:
    n = 6
    counts: Counter[int] = Counter()
    for nth in range(9_000):
        key = key_of(nth)
        first, second = permute(key, n, 0), permute(key, n, 1)
        counts[first * (n - 1) + second - (second > first)] += 1
    cells = n * (n - 1)
    assert chi_squared(counts, cells) < chi_squared_max(cells - 1)


def test_all_orders_of_a_few_places_are_equally_likely() -> None:
    orders: dict[tuple[int, ...], int] = {}
    counts: Counter[int] = Counter()
    for nth in range(6_000):
        key = key_of(nth)
        order = tuple(permute(key, 4, index) for index in range(4))
        counts[orders.setdefault(order, len(orders))] += 1
    assert len(orders) == 24
    assert chi_squared(counts, 24) < chi_squared_max(23)


def test_a_bound_is_one_that_a_biased_draw_exceeds() -> None:
    skewed = Counter(dict.fromkeys(range(10), 400) | {0: 500, 1: 300})
    assert chi_squared(skewed, 10) > chi_squared_max(9)


def test_joining_early_gains_nothing() -> None:
    n = 20_000
    key = key_of(3)
    mean = (n - 1) / 2
    covariance = sum((i - mean) * (permute(key, n, i) - mean) for i in range(n))
    variance = sum((i - mean) ** 2 for i in range(n))
    # of a random permutation the correlation is normal with deviation 1 / sqrt(n - 1)
    assert abs(covariance / variance) < 4 / math.sqrt(n - 1)
    early = sum(permute(key, n, index) < n // 2 for index in range(n // 2))
    assert abs(early - n / 4) < 4 * math.sqrt(n) / 4  # hypergeometric: deviation sqrt(n) / 4


def test_neighbours_in_joining_are_no_neighbours_in_line() -> None:
    n = 20_000
    key = key_of(4)
    drawn = [permute(key, n, index) for index in range(n)]
    near = sum(abs(a - b) <= 10 for a, b in itertools.pairwise(drawn))
    expected = (n - 1) * 20 / n  # of the n - 1 pairs, each with 20 of n places near it
    assert abs(near - expected) < 4 * math.sqrt(expected)


def test_another_seed_or_another_roster_is_another_draw() -> None:
    seed, digest = bytes(32), bytes(32)
    first = [permute(draw_key(seed, digest), 100, index) for index in range(100)]
    for other in (draw_key(b"\1" + seed[1:], digest), draw_key(seed, b"\1" + digest[1:])):
        fixed = sum(permute(other, 100, index) == first[index] for index in range(100))
        assert fixed < 10  # of a hundred, one on average


def test_who_comes_after_the_draw_follows_in_the_order_of_arrival() -> None:
    key = key_of(5)
    drawn = {number(key, 50, index) for index in range(50)}
    assert drawn == set(range(1, 51))
    assert [number(key, 50, index) for index in (50, 51, 52)] == [51, 52, 53]
    assert number(key, 0, 0) == 1  # nobody was in the pre-queue


def test_the_commitment_hides_the_seed_and_binds_to_it() -> None:
    seed = bytes(range(32))
    assert commitment(seed) == hashlib.sha256(seed).hexdigest()
    assert commitment(seed) != commitment(seed[::-1])


def test_a_leaf_belongs_to_a_buyer_and_an_occurrence_and_is_never_the_empty_one() -> None:
    occurrence, ada, bob = new_id(), new_id(), new_id()
    leaves = {leaf(occurrence, ada), leaf(occurrence, bob), leaf(ada, occurrence), EMPTY}
    assert len(leaves) == 4
    assert {len(each) for each in leaves} == {LEAF_BYTES}
    assert leaf(occurrence, ada) == leaf(occurrence, ada)
    ids = bytes.fromhex(occurrence) + bytes.fromhex(ada)
    assert leaf(occurrence, ada) == hashlib.sha256(ids).digest()[:16]  # as the document says


@pytest.mark.parametrize(
    ("n", "index"), [(1, 0), (2, 1), (10, 7), (1_000, 999), (123_456, 654), (1_000_000, 0)]
)
def test_the_program_in_the_document_computes_the_same_number(n: int, index: int) -> None:
    programs = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert len(programs) == 1
    seed, digest = hashlib.sha256(b"a seed").digest(), hashlib.sha256(b"a roster").digest()
    ran = subprocess.run(
        [sys.executable, "-I", "-c", programs[0], seed.hex(), digest.hex(), str(n), str(index)],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert ran.stdout == f"{draw.number(draw_key(seed, digest), n, index)}\n"
