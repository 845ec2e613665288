"""What buyers in line are told of their future: when, how likely, and when to ask again.

Pure functions. They estimate, so each says what it takes for granted.
"""

from __future__ import annotations

import math

import msgspec

_PRIOR_BUYS = 0.6  # of the called; some never come, some do not find what they want
_PRIOR_TICKETS = 2.4  # an order; people go in pairs and small groups
_TICKETS_MAX = 10  # a mean above it is no mean of orders
_PRIOR_DISPERSION = 0.8  # variance of the tickets a buyer, divided by their mean
_PRIOR_PEOPLE = 30  # as many outcomes weigh as much as the prior
_GIVEN_UP = 0.2  # of the stock in carts, comes back on sale
_SLOWER = 1.25  # the late end of a range is at least so far behind the likely time
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


def eta(ahead: int, calls_per_s: float, most_calls_per_s: float) -> Eta | None:
    """Return when one with so many ahead who are still to be called will be called.

    ``calls_per_s``: measured over the last minute, or since the opening if that
    is shorter; the likely time follows from it. ``most_calls_per_s``: what the
    operator's rate allows, the earliest time. The late end is as far from the
    likely time as the early end. None: nothing moves, so nothing can be said.
    """
    if calls_per_s <= 0 or most_calls_per_s <= 0:
        return None
    places = max(ahead, 0) + 1
    from_s = places / most_calls_per_s
    likely_s = max(places / calls_per_s, from_s)
    to_s = max(2 * likely_s - from_s, likely_s * _SLOWER)
    return Eta(
        likely_ms=round(likely_s * 1000), from_ms=round(from_s * 1000), to_ms=round(to_s * 1000)
    )


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
