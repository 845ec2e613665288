"""One wall clock for all machines: that of the store, which decides everything else too."""

from __future__ import annotations

import time


class FollowedClock:
    """Returns seconds since the epoch; this machine's until it is told of a better one.

    A machine whose own clock is wrong then neither refuses what another one has
    signed, nor takes what is over.
    """

    def __init__(self) -> None:
        self._ahead = time.time() - time.monotonic()

    def __call__(self) -> float:
        """Return the time."""
        return time.monotonic() + self._ahead

    def ms(self) -> int:
        """Return the time in milliseconds."""
        return int(self() * 1000)

    def follow(self, told: float, asked_at: float, heard_at: float) -> float:
        """Take over the time ``told``, for which was asked and which was heard (monotonic s).

        Returns by how many seconds the clock was wrong.
        """
        before = self._ahead
        self._ahead = told - (asked_at + heard_at) / 2
        return before - self._ahead
