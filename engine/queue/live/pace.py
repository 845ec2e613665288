"""How fast a line moves, measured from what it looks like now and then."""

from __future__ import annotations

from collections import deque

import msgspec

from engine.queue.live.forecast import Limit
from engine.queue.store import QueueState

RATE_WINDOW_MS = 60_000  # sale clock; what people call "lately"
_SAMPLES_MAX = 240
_LEAST_MS = 3_000  # of history, before a measured rate is believed
_PRIOR_STAY = 0.3  # of the time that one may take to come and to shop
_PRIOR_PEOPLE = 1  # as many who have left weigh as much as the prior
_BUNCH_MS = 20_000  # sale clock; how many leave in it, against how many should
_BUNCHES = 100  # as many of these count
_FORGET_MS = 600_000  # sale clock; stays longer ago than this count less than a third


class Pace(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """``calls_per_s``: lately. ``cap``: what it means for the line that places inside are few."""

    calls_per_s: float
    cap: Limit


class PaceMeter:
    """Measures the pace of one line from its states, each later than the one before."""

    def __init__(self) -> None:
        self._served: deque[tuple[int, int]] = deque(maxlen=_SAMPLES_MAX)
        self._at: int | None = None
        self._ended = 0
        self._stayed_ms, self._left = 0.0, 0.0
        self._window = [0, 0.0]  # since _window_at: how many have left, and how many should have
        self._window_at, self._windows, self._bunched = 0, 0, 1.0

    def note(self, state: QueueState, *, hold_ms_max: int) -> Pace:
        """Return the pace with this state taken into account. ``hold_ms_max``: of the sale."""
        queue = state.queue
        claim_and_shop_ms = queue.claim_ms + queue.shop_ms
        since_ms, left = self._note_stays(state)
        stay_ms = (_PRIOR_STAY * claim_and_shop_ms * _PRIOR_PEOPLE + self._stayed_ms) / (
            _PRIOR_PEOPLE + self._left
        )
        expected = since_ms * (queue.inside + state.called) / max(stay_ms, 1.0)
        self._note_bunches(state.now_ms, left, expected)
        return Pace(
            calls_per_s=self._calls_per_s(state),
            cap=Limit(
                room=max(queue.cap - queue.inside - state.called, 0),
                per_s=queue.cap * 1000 / max(stay_ms, 1.0),
                seen=self._left,
                bunched=max(self._bunched, 1.0),
                batch=queue.cap,
                # a pass is kept as long as its buyer holds something
                batch_s_max=(claim_and_shop_ms + hold_ms_max) / 1000,
            ),
        )

    def _note_stays(self, state: QueueState) -> tuple[int, int]:
        """Add up how long people were called or inside, and how many are not any more.

        Returns the time since the last state, and how many have left in it. The time over the
        number of ends is the mean stay, those who are still there included
        (the estimate of an exponential mean from censored times).
        """
        queue = state.queue
        ended = queue.no_shows + queue.entered - queue.inside
        since = left = 0
        if self._at is None or state.now_ms < self._at or ended < self._ended:
            self._stayed_ms, self._left = 0.0, 0.0  # the first; or the store was rebuilt
            self._window_at = state.now_ms
        else:
            since, left = state.now_ms - self._at, ended - self._ended
            kept = 1 / (1 + since / _FORGET_MS)
            self._stayed_ms = self._stayed_ms * kept + since * (queue.inside + state.called)
            self._left = self._left * kept + left
        self._at, self._ended = state.now_ms, ended
        return since, left

    def _note_bunches(self, now_ms: int, left: int, expected: float) -> None:
        """Compare how many leave in a while with how many should: its variance over its mean."""
        self._window[0] += left
        self._window[1] += expected
        if now_ms - self._window_at < _BUNCH_MS:
            return
        seen, mean = self._window
        if mean > 0:
            self._windows = min(self._windows + 1, _BUNCHES)
            self._bunched += ((seen - mean) ** 2 / mean - self._bunched) / self._windows
        self._window, self._window_at = [0, 0.0], now_ms

    def _calls_per_s(self, state: QueueState) -> float:
        """Return the calls lately; what the operator allows while there is no history."""
        samples, now, queue = self._served, state.now_ms, state.queue
        if samples and (now < samples[-1][0] or queue.served < samples[-1][1]):
            samples.clear()  # the store was rebuilt, or its clock set back
        if max(queue.count, queue.tail + 1) <= queue.served:
            samples.clear()  # nobody waits: that the line does not move says nothing
        if not samples or now - samples[-1][0] >= RATE_WINDOW_MS / _SAMPLES_MAX:
            samples.append((now, queue.served))
        while now - samples[0][0] > RATE_WINDOW_MS:
            samples.popleft()
        since = now - samples[0][0]
        if since < _LEAST_MS or queue.drawn < 0:
            return queue.rate * 1000 / queue.rate_ms
        return (queue.served - samples[0][1]) * 1000 / since
