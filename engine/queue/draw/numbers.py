"""The draw: everybody who stands in the pre-queue gets a random number that anyone can check.

Before the opening only ``commitment(seed)`` is known. At the opening the roster
is closed: n places, each a 16-byte leaf, in the order of joining. Then

    digest = SHA-256(leaf 0 || leaf 1 || ... || leaf n-1)
    key    = HMAC-SHA-256(seed, digest)

and the place with index i (from 0) gets number ``permute(key, n, i) + 1``: a
keyed permutation of 0..n-1, a balanced Feistel network over a x a >= n values
that is walked until it is back below n (Black and Rogaway, "Ciphers with
arbitrary finite domains", 2002: the generalized Feistel and cycle-walking
constructions). Nothing is stored per person, and nothing is revealed of
others: a leaf is a digest of an id that only its owner knows.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from functools import lru_cache

LEAF_BYTES = 16
EMPTY = bytes(LEAF_BYTES)  # the leaf of a place that was given up before the draw
SEED_BYTES = 32
_ROUNDS = 12  # even, so that both halves end where they began; 10 are usual (NIST SP 800-38G, FF1)


def leaf(occurrence: str, buyer: str) -> bytes:
    """Return the leaf of a buyer's place (both ids: 32 hex)."""
    return hashlib.sha256(bytes.fromhex(occurrence + buyer)).digest()[:LEAF_BYTES]


def commitment(seed: bytes) -> str:
    """Return what is published before the draw: the SHA-256 of the seed, in hex."""
    return hashlib.sha256(seed).hexdigest()


def draw_key(seed: bytes, digest: bytes) -> bytes:
    """Return the key of the permutation for the roster with this SHA-256 digest."""
    return hmac.digest(seed, digest, "sha256")


def permute(key: bytes, n: int, index: int) -> int:
    """Return the place in line, from 0, of the place in the roster, from 0.

    Raises ``ValueError`` unless 0 <= index < n.
    """
    return _walk(key, n, index, range(_ROUNDS), forward=True)


def invert(key: bytes, n: int, place: int) -> int:
    """Return which place in the roster got this place in line; the inverse of :func:`permute`."""
    return _walk(key, n, place, range(_ROUNDS - 1, -1, -1), forward=False)


@lru_cache(maxsize=262_144)
def number(key: bytes, n: int, index: int) -> int:
    """Return the number, from 1, of the place with this index.

    Who came after the draw (index >= n) follows in the order of arrival.
    """
    return permute(key, n, index) + 1 if index < n else index + 1


def _walk(key: bytes, n: int, value: int, rounds: range, *, forward: bool) -> int:
    if not 0 <= value < n:
        raise ValueError(f"{value} is not one of {n} places")
    a = math.isqrt(n - 1) + 1  # the smallest with a * a >= n
    base = hashlib.sha256(key)
    while True:
        left, right = divmod(value, a)
        for turn in rounds:
            state = base.copy()
            if forward:
                state.update(b"%d %d" % (turn, right))
                left, right = right, (left + int.from_bytes(state.digest()[:8], "big")) % a
            else:
                state.update(b"%d %d" % (turn, left))
                left, right = (right - int.from_bytes(state.digest()[:8], "big")) % a, left
        value = left * a + right
        if value < n:
            return value
