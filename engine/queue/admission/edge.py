"""All serving processes seen as one, so that none of them alone decides how fast a line moves."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Final

from engine.queue.admission.controller import Edge
from engine.queue.admission.edge_reports import Pulse

_SPEAKERS_MIN: Final = 2  # of several processes: one is an exception


def edge_of(pulses: Sequence[Pulse]) -> Edge | None:
    """Return how the edge is as most processes say; None: nobody is heard of.

    Latencies and lag: the middle one of those who say something, so more than half of
    them must be slow. Payments: those of all but the process with the most failures,
    for it may be its own network that fails. A buyer is counted once in each process:
    no more failures than there are processes may be those of one buyer.
    """
    if not pulses:
        return None
    others = sorted(pulses, key=attrgetter("failures"))
    if len(others) > 1:
        del others[-1]
    failures = sum(pulse.failures for pulse in others)
    return Edge(
        hold_us=_middle([pulse.hold_us for pulse in pulses]),
        checkout_us=_middle([pulse.checkout_us for pulse in pulses]),
        lag_us=sorted(pulse.lag_us for pulse in pulses)[(len(pulses) - 1) // 2],
        payments=sum(pulse.payments for pulse in others),
        failures=failures if failures >= len(pulses) else 0,
    )


def _middle(values: Sequence[int]) -> int:
    """Return the middle one of those above 0, the lower of two; 0: too few say something."""
    said = sorted(value for value in values if value)
    if len(said) < min(_SPEAKERS_MIN, len(values)):
        return 0
    return said[(len(said) - 1) // 2]
