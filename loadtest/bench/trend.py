"""Whether PostgreSQL keeps up with a sale: by the trend of its lag, not by one look at it.

What is sold at a moment is in PostgreSQL a little later. How much later is
different each time, by as much as a poll or a commit takes; what matters is
whether it grows. So there are many moments in the window, and each two of them
that are far apart tell a rate of selling and one of writing (Theil and Sen's
way to a slope that no single look can bend).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from statistics import median
from typing import NamedTuple


class Moment(NamedTuple):
    """``tickets`` were sold at ``at``, and were in PostgreSQL at ``persisted_at`` (seconds)."""

    tickets: int
    orders: int
    at: float
    persisted_at: float

    @property
    def lag_s(self) -> float:
        """How long PostgreSQL took to have them."""
        return self.persisted_at - self.at


class Trend:
    """Of moments in the order of time, two at least, between which something was sold."""

    def __init__(self, moments: Sequence[Moment]) -> None:
        self._moments = moments
        self.seconds = moments[-1].at - moments[0].at
        self._pairs = [
            (one, other)
            for one, other in combinations(moments, 2)
            if other.at - one.at >= self.seconds / 2 and other.orders > one.orders
        ]

    @property
    def sold(self) -> list[float]:
        """Orders/s confirmed, of each two moments that are far apart."""
        return [(b.orders - a.orders) / (b.at - a.at) for a, b in self._pairs]

    @property
    def persisted(self) -> list[float]:
        """Orders/s that were written, of the same moments."""
        return [(b.orders - a.orders) / (b.persisted_at - a.persisted_at) for a, b in self._pairs]

    @property
    def lag_s(self) -> float:
        """The median lag."""
        return median(moment.lag_s for moment in self._moments)

    @property
    def lag_growth(self) -> float:
        """By how many seconds the lag grows in a second."""
        return median((b.lag_s - a.lag_s) / (b.at - a.at) for a, b in self._pairs)
