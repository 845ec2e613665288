"""Latencies and their percentiles."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that ``share`` (0..1) of all do not exceed: the nearest rank.

    0.0 when there are none.
    """
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


class Stopwatch:
    """Keeps how long steps took, in seconds, by the step's name."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}

    @contextmanager
    def timing(self, step: str) -> Iterator[None]:
        """Time what is done within, unless it raises."""
        began = time.perf_counter()
        yield
        self.add(step, time.perf_counter() - began)

    def add(self, step: str, seconds: float) -> None:
        """Note one."""
        self.seconds.setdefault(step, []).append(seconds)
