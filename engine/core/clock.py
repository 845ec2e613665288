"""One wall clock for all machines: that of the store, which decides everything else too."""

from __future__ import annotations

import math
import time

_CERTAIN_S = 0.005  # no answer is taken for better than this, so that the next one counts again


class FollowedClock:
    """Returns seconds since the epoch; this machine's until it is told of a better one.

    A machine whose own clock is wrong then neither refuses what another one has
    signed, nor takes what is over.
    """

    def __init__(self) -> None:
        self._ahead = time.time() - time.monotonic()
        self._uncertain_s = math.inf  # of what it follows: half of the time that the answer took

    def __call__(self) -> float:
        """Return the time."""
        return time.monotonic() + self._ahead

    def ms(self) -> int:
        """Return the time in milliseconds."""
        return int(self() * 1000)

    def follow(self, told: float, asked_at: float, heard_at: float) -> float:
        """Take over the time ``told``, for which was asked and which was heard (monotonic s).

        An answer that took long tells little: it counts only where the clock is
        further off than it may be wrong itself. Returns by how many seconds the clock was wrong.
        """
        ahead, uncertain_s = told - (asked_at + heard_at) / 2, (heard_at - asked_at) / 2
        wrong_s = self._ahead - ahead
        if abs(wrong_s) <= uncertain_s and uncertain_s > self._uncertain_s:
            return 0.0
        self._ahead, self._uncertain_s = ahead, max(uncertain_s, _CERTAIN_S)
        return wrong_s
