"""What buyers in line are told of their future: when, how likely, and when to ask again.

Pure functions. They estimate, so each says what it takes for granted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

_PRIOR_BUYS = 0.6  # of the called; some never come, some do not find what they want
_PRIOR_TICKETS = 2.4  # an order; people go in pairs and small groups
_TICKETS_MAX = 10  # a mean above it is no mean of orders
_PRIOR_DISPERSION = 0.8  # variance of the tickets a buyer, divided by their mean
_PRIOR_PEOPLE = 30  # as many outcomes weigh as much as the prior
_GIVEN_UP = 0.2  # of the stock in carts, comes back on sale
_SLOWER = 1.25  # the late end of a range is at least so far behind the likely time
_STEP_S = 0.2  # between two calls of the leader
_STEPS_S = 1.0  # a line that moves in steps, and is looked at now and then, is late by so much
_SEEN_ENOUGH = 10  # events; of fewer no early end can be told
_TRICKLE_PER_S = 0.1  # how fast a line moves whose stock is spoken for (waiting/admission.py)
_FORESEEN = 50  # so many places ahead can be told of then
_STOCK_S = 3.0  # of calls; stock for more is no limit
_SOON = 0.25  # of what comes back does so while those called now choose
_DEMAND_MIN = 0.05  # tickets a person
_PLACES_MAX = 100  # of a draw that are looked at: a percent each

_ASK_MS_MIN = 1_000
_ASK_MS_MAX = 30_000
_ASKS = 20  # as many times a buyer asks in the time still to wait, between the two bounds
_ASK_MS_AHEAD = 20  # for each one ahead, when no time can be told
_JITTER = 0.2
_OPENING_MS = 800  # after the opening, until the draw is there
_OPENING_SPREAD_MS = 4_000  # in which all of the pre-queue ask for their number


class Eta(msgspec.Struct, kw_only=True, frozen=True, gc=False):
    """When a buyer will probably be called, in ms from now, and between which times."""

    likely_ms: int
    from_ms: int
    to_ms: int


class Limit(msgspec.Struct, kw_only=True, frozen=True, gc=False):
    """Something that lets ``room`` people pass at once, and then ``per_s`` on average.

    ``seen``: of how many that average is. ``bunched``: variance over mean of how many pass in a
    while: 1 where each goes by itself, about as many as go together where they do. ``batch``: of
    so many all pass within ``batch_s_max``, whatever happens (0: nothing is certain). Of more than
    ``needed_max`` nothing can be said.
    """

    room: int
    per_s: float
    seen: float
    bunched: float = 1.0
    batch: int = 0
    batch_s_max: float = 0.0
    needed_max: int | None = None

    def times(self, needed: int) -> tuple[float, float, float] | None:
        """Return in how many s ``needed`` people beyond the room have passed: from, likely, to.

        Those who pass are taken as a Poisson process of bunches; two standard deviations to both
        sides, and the same for the rate. While that was hardly seen, only what is certain is told.
        """
        if self.per_s <= 0 or (self.needed_max is not None and needed > self.needed_max):
            return None
        spread = 2 * (math.sqrt(self.bunched * needed) + self.bunched)
        doubt = 1 + 2 / math.sqrt(self.seen + 1)
        enough = self.seen >= _SEEN_ENOUGH
        likely_s = needed / self.per_s
        from_s = max(needed - spread, 0.0) / self.per_s / doubt if enough else 0.0
        to_s = (needed + spread) / self.per_s * doubt
        if self.batch > 0:
            certain_s = self.batch_s_max * math.ceil(needed / self.batch)
            to_s = max(min(to_s, certain_s) if enough else certain_s, likely_s)
        return from_s, likely_s, to_s


class Outlook(msgspec.Struct, kw_only=True, frozen=True, gc=False):
    """What becomes of the called.

    ``buys``: the share of them who buy, 0..1. ``tickets``, ``variance``: mean
    and variance of the tickets of one who does.
    """

    buys: float = _PRIOR_BUYS
    tickets: float = _PRIOR_TICKETS
    variance: float = _PRIOR_TICKETS * _PRIOR_DISPERSION

    @property
    def demand(self) -> float:
        """Tickets that one who is called takes on average."""
        return self.buys * self.tickets

    @property
    def demand_variance(self) -> float:
        """The variance of what one who is called takes: nothing, or a buyer's tickets."""
        return self.buys * (self.variance + self.tickets**2) - self.demand**2


PRIOR = Outlook()


def outlook(done: int, ended: int, tickets: int) -> Outlook:
    """Return the outlook from what has been seen; the prior as long as that is little.

    ``ended``: called people whose turn is over, ``done`` of them with an order.
    ``tickets``: sold in all; where that cannot be theirs alone, or not all of it
    yet, because the line came late or payments take their time, it is not believed.
    """
    done = min(done, ended)
    buys = (_PRIOR_BUYS * _PRIOR_PEOPLE + done) / (_PRIOR_PEOPLE + ended)
    if not done <= tickets <= done * _TICKETS_MAX:
        tickets = round(done * _PRIOR_TICKETS)
    mean = (_PRIOR_TICKETS * _PRIOR_PEOPLE + tickets) / (_PRIOR_PEOPLE + done)
    return Outlook(buys=buys, tickets=mean, variance=mean * _PRIOR_DISPERSION)


def coming_back(held: int) -> float:
    """Return how many of the tickets in carts will probably be on sale again."""
    return held * _GIVEN_UP


def eta(
    ahead: int,
    calls_per_s: float,
    most_calls_per_s: float,
    limits: Sequence[Limit] = (),
    starts_in_ms: int = 0,
) -> Eta | None:
    """Return when one with so many ahead who are still to be called will be called.

    ``calls_per_s``: measured over the last minute, or since the opening if that
    is shorter; the likely time follows from it. ``most_calls_per_s``: what the
    operator's rate allows, the earliest time. The late end is as far from the
    likely time as the early end. A limit that is reached before delays all three: the
    slowest one counts. ``starts_in_ms``: until then nobody is called. None: nothing
    moves, so nothing can be said.
    """
    places = max(ahead, 0) + 1
    reached = [limit for limit in limits if places > limit.room]
    if most_calls_per_s <= 0 or (calls_per_s <= 0 and not reached):
        return None
    # where less than one is called a step, the next call may be due this moment
    slow = most_calls_per_s * _STEP_S < 1
    from_s = (places - 1 if slow else places) / most_calls_per_s
    likely_s = max(places / calls_per_s, from_s) if calls_per_s > 0 else from_s
    to_s = max(2 * likely_s - from_s, likely_s * _SLOWER, likely_s + _STEPS_S)
    for limit in reached:
        found = limit.times(places - limit.room)
        if found is None:
            return None
        from_s, likely_s, to_s = map(max, (from_s, likely_s, to_s), found)
    return Eta(
        likely_ms=round(likely_s * 1000) + starts_in_ms,
        from_ms=round(from_s * 1000) + starts_in_ms,
        to_ms=round(to_s * 1000) + starts_in_ms,
    )


def stock_limit(free: int, held: int, takers: int, per_s: float, outlook: Outlook) -> Limit | None:
    """Return the limit that the stock is when it is nearly spoken for; None: it is not yet.

    ``takers``: those called or inside who hold nothing yet. ``per_s``: how fast the line moves
    otherwise. As long as the stock does for some seconds of calls it is no limit: whether it does
    for all who wait is what the chance says.
    """
    demand = max(outlook.demand, _DEMAND_MIN)
    room = math.floor((free + coming_back(held) * _SOON) / demand - takers)
    if room > per_s * _STOCK_S:
        return None
    # with nothing left that could come back nobody can be told a time
    per_s = _TRICKLE_PER_S if free + held > 0 else 0.0
    return Limit(room=max(room, 0), per_s=per_s, seen=0.0, needed_max=_FORESEEN)


def chance(ahead: int, free: int, coming_back: float, outlook: Outlook) -> int:
    """Return the chance, in percent, that those ahead leave at least one ticket.

    ``ahead``: all who may still take of what is free: those ahead in line, the
    called, and those inside who hold nothing yet. ``free``: tickets on sale now;
    ``coming_back``: tickets in carts that will probably be on sale again.
    The sum of what people take is taken as normally distributed, people as
    independent, what comes back as a Poisson variable. Rounded down, so that
    100 is as good as certain.
    """
    return int(100 * _chance(ahead, free, coming_back, outlook))


def chance_before_draw(n: int, free: int, coming_back: float, outlook: Outlook) -> int:
    """Return the chance, in percent, of one of ``n`` people whose places are still to be drawn.

    It is the mean of :func:`chance` over the places, or over a hundred of them.
    """
    if n < 1:
        return chance(0, free, coming_back, outlook)
    looks = min(n, _PLACES_MAX)
    width = n / looks
    places = (i * width + (width - 1) / 2 for i in range(looks))
    return int(100 * sum(_chance(a, free, coming_back, outlook) for a in places) / looks)


def _chance(ahead: float, free: int, coming_back: float, outlook: Outlook) -> float:
    coming_back = max(coming_back, 0.0)
    if ahead <= 0 and free >= 1:
        return 1.0
    if free + coming_back <= 0:
        return 0.0
    left = free + coming_back - ahead * outlook.demand
    variance = ahead * outlook.demand_variance + coming_back
    if variance <= 0:  # nobody buys, or everybody the same
        return float(left >= 1)
    # half a ticket: the continuity correction of P(left >= 1)
    return 0.5 * (1 + math.erf((left - 0.5) / math.sqrt(2 * variance)))


def ask_in_ms(ahead: int, eta_ms: int | None, random_unit: float) -> int:
    """Return in how many ms one in line should ask again: 1 s near the front, 30 s far back.

    ``eta_ms``: the likely time, None when unknown; ``random_unit``: in [0, 1), by
    which the answer is spread over 20 % to both sides.
    """
    wait_ms = ahead * _ASK_MS_AHEAD if eta_ms is None else eta_ms / _ASKS
    return _jittered(min(max(wait_ms, _ASK_MS_MIN), _ASK_MS_MAX), random_unit)


def ask_before_opening_ms(opens_in_ms: int, random_unit: float) -> int:
    """Return in how many ms one in the pre-queue should ask again.

    Every half a minute or so, and in any case within seconds after the opening,
    spread by ``random_unit``, in [0, 1), so that they do not all come at once.
    """
    after_opening = max(opens_in_ms, 0) + _OPENING_MS + random_unit * _OPENING_SPREAD_MS
    return min(_jittered(_ASK_MS_MAX, random_unit), round(after_opening))


def _jittered(ms: float, random_unit: float) -> int:
    return round(ms * (1 + _JITTER * (2 * random_unit - 1)))
