"""How fast the line moves: a controller that is given what is seen and says how many to call.

Pure: no clock, no I/O. Three things bound the rate, and the least of them counts:
what the operator set, how those inside are served and their payments are doing
(halved while they suffer, raised gently when they are well), and how much of the
stock is spoken for by those who were called before. The cap bounds how many may
be inside. docs/adr/0016 says what may steer a line, and what may not.
"""

from __future__ import annotations

import math
from typing import Final, Literal, get_args

import msgspec

from engine.queue.documents import QueuePhase
from engine.queue.live.forecast import PRIOR, Outlook, coming_back

Reason = Literal[
    "steady",  # as fast as the operator lets
    "recovering",  # on the way back up
    "edge_slow",  # holds or checkouts are answered late: the rate was cut
    "edge_silent",  # no serving process says that it is alive: nobody could enter
    "payments_failing",  # the provider does not answer: the rate was cut
    "stock_spoken_for",  # those who were called will probably take what is left
    "sold_out",  # nothing is left, and nothing is held
    "cap_reached",  # as many are inside as may be
    "nobody_waiting",
    "paused",
    "not_open",  # before the opening, or the numbers are not drawn yet
    "closed",
    "off",
]
REASONS: Final[tuple[Reason, ...]] = get_args(Reason)

HOLD_US_MAX: Final = 250_000  # a hold takes some 2 ms; who waits longer than this presses again
CHECKOUT_US_MAX: Final = 5_000_000  # the provider's own time is in it: half a second as a rule
LAG_US_MAX: Final = 50_000  # every other time: the loop is behind with everything
_CALM: Final = 0.6  # of these; above it the rate is not raised
FAILURES_MAX: Final = 0.2  # of the requests that needed the provider
_FAILURES_MIN: Final = 3  # fewer say nothing: the payment of one or two buyers may be a poor one

CUT: Final = 0.5
CUT_EVERY_S: Final = 3.0  # the pulse shows some 3 s: what a cut has done is seen only then
RISE_A_S: Final = 0.05  # of the operator's rate: from the least to all of it in 20 s
SHARE_MIN: Final = 0.02  # of the operator's rate
# The same while only the loop is late: anybody can make it late, and fewer people inside help
# little then. Where those inside make it late, their holds are slow, too.
LAG_SHARE_MIN: Final = 0.5

TRICKLE_MILLI: Final = 100  # one in 10 s: as slow as it goes while anything can be had
_STOCK_S: Final = 3.0  # in which the room that the stock leaves is used up
_OVERSUBSCRIBED: Final = 3.0  # demand over stock at which even the trickle ends
_SOON: Final = 0.25  # of what comes back does so while those called now choose
_DEMAND_MIN: Final = 0.05  # tickets a person: if hardly any buy, many may come
STEP_S: Final = 0.2  # between two decisions
_CATCH_UP: Final = 2  # times the even step is called at once at most, after a delay


class Edge(msgspec.Struct, kw_only=True, frozen=True, gc=False):
    """How the serving processes are as most of them say (:mod:`engine.queue.admission.edge`).

    ``hold_us``, ``checkout_us``: of the middle one of those inside. ``payments``: buyers who
    needed the provider, ``failures`` of them had no answer.
    """

    hold_us: int = 0
    checkout_us: int = 0
    lag_us: int = 0
    payments: int = 0
    failures: int = 0

    @property
    def strain(self) -> float:
        """The worse of the latencies as a share of what is allowed; above 1 it is too slow."""
        return max(self.hold_us / HOLD_US_MAX, self.checkout_us / CHECKOUT_US_MAX)

    @property
    def lag(self) -> float:
        """The loop's lag as a share of what is allowed."""
        return self.lag_us / LAG_US_MAX

    @property
    def failing(self) -> bool:
        """Whether payments fail more than they may."""
        enough = self.failures >= _FAILURES_MIN
        return enough and self.failures > FAILURES_MAX * self.payments


class Observation(msgspec.Struct, kw_only=True, frozen=True, gc=False):
    """A line as it is seen at one moment.

    ``rate_milli``: the operator's, people in 1,000 s. ``waiting``: not called
    yet. ``called``: may enter and have not. ``free``: tickets that can be had
    now; ``held``: in carts and unpaid orders. ``edge``: None when no process
    was heard of.
    """

    on: bool
    phase: QueuePhase
    drawn: bool
    paused: bool
    rate_milli: int
    cap: int
    waiting: int
    inside: int
    called: int
    free: int
    held: int
    outlook: Outlook = PRIOR
    edge: Edge | None


class Decision(msgspec.Struct, kw_only=True, frozen=True, gc=False):
    """How fast the line moves (people in 1,000 s), and how many may be called this moment."""

    rate_milli: int
    allowed: int
    reason: Reason


class Controller:
    """Decides for one line. ``share`` of the operator's rate is what the edge can bear."""

    def __init__(self) -> None:
        self.share = 1.0
        self._strained: Reason = "recovering"
        self._decided_s: float | None = None
        self._cut_s = -math.inf

    def decide(self, seen: Observation, now_s: float) -> Decision:
        """Return what to do. ``now_s``: a clock that never goes back."""
        self._adapt(seen.edge, now_s)
        gate = _gate(seen)
        if gate is not None:
            return Decision(rate_milli=0, allowed=0, reason=gate)
        least = min(TRICKLE_MILLI, seen.rate_milli)
        if seen.edge is None:
            allowed = int(seen.inside + seen.called == 0)
            return Decision(rate_milli=least, allowed=allowed, reason="edge_silent")
        room = seen.cap - seen.inside - seen.called
        borne = max(int(self.share * seen.rate_milli), least)
        reason: Reason = self._strained if self.share < 1 else "steady"
        takers = _takers(seen)
        left = _left_for(seen, takers)
        rate = borne
        if left * 1000 / _STOCK_S < borne:
            rate, reason = max(math.floor(left * 1000 / _STOCK_S), least), "stock_spoken_for"
        if left < 1:
            left = int(_may_trickle(seen, takers))
        step = max(math.ceil(rate / 1000 * STEP_S * _CATCH_UP), 1)
        if room * 1000 < max(rate, 1000):  # less than a second's worth
            reason = "cap_reached"
        return Decision(rate_milli=rate, allowed=max(min(step, room, left), 0), reason=reason)

    def _adapt(self, edge: Edge | None, now_s: float) -> None:
        elapsed_s = 0.0 if self._decided_s is None else max(now_s - self._decided_s, 0.0)
        self._decided_s = now_s
        if edge is None:
            return
        if edge.failing or edge.strain > 1:
            self._strained = "payments_failing" if edge.failing else "edge_slow"
            self._cut(now_s, SHARE_MIN)
        elif edge.lag > 1 and self.share > LAG_SHARE_MIN:
            self._strained = "edge_slow"
            self._cut(now_s, LAG_SHARE_MIN)
        elif edge.strain <= _CALM:
            most = 1.0 if edge.lag <= _CALM else LAG_SHARE_MIN
            if self.share < most:
                self._strained = "recovering"
                # after a long silence nothing is known either: no more than a cut is made good
                rise = RISE_A_S * min(elapsed_s, CUT_EVERY_S)
                self.share = min(self.share + rise, most)

    def _cut(self, now_s: float, least: float) -> None:
        if now_s - self._cut_s >= CUT_EVERY_S:
            self._cut_s = now_s
            self.share = max(self.share * CUT, least)


def _gate(seen: Observation) -> Reason | None:
    """Return why nobody at all is called, or None."""
    gates: tuple[tuple[Reason, bool], ...] = (
        ("off", not seen.on),
        ("closed", seen.phase == "closed"),
        ("not_open", seen.phase == "planned" or not seen.drawn),
        ("paused", seen.paused),
        ("nobody_waiting", seen.waiting < 1),
        ("stock_spoken_for", seen.free < 1 <= seen.held),
        ("sold_out", seen.free < 1),
    )
    return next((reason for reason, shut in gates if shut), None)


def _takers(seen: Observation) -> float:
    """Return how many may still take of what is free: the called, and who is inside without a cart.

    How many have one follows from what is held: carts are as large as orders.
    """
    return seen.called + max(seen.inside - seen.held / max(seen.outlook.tickets, 1.0), 0.0)


def _left_for(seen: Observation, takers: float) -> int:
    """Return for how many more the stock will probably do."""
    demand = max(seen.outlook.demand, _DEMAND_MIN)
    return math.floor((seen.free + coming_back(seen.held) * _SOON) / demand - takers)


def _may_trickle(seen: Observation, takers: float) -> bool:
    """Return whether one more may come although the stock will probably not do.

    Those inside may take long or nothing at all: while tickets are free the line
    does not stand still, unless so many are after them already that it were unfair.
    With nobody inside one always may.
    """
    return takers * seen.outlook.demand < _OVERSUBSCRIBED * seen.free
