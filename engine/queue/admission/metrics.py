"""Every metric of admission, in one list. Those of a line are told by the worker that leads it."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge

from engine.queue.admission.controller import REASONS, Decision
from engine.queue.live.board import Board

# 1 in one worker of an installation. Alert when it is 0 in all of them for 10 seconds.
LEADER: Final = Gauge("onsale_admission_leader", "Whether this worker lets people in.")

# Grows by one whenever another worker takes over.
FENCE: Final = Gauge("onsale_admission_fence", "The fence of the lease, as last seen.")

# People a second: what the line moves at, and the most that the operator lets.
RATE: Final = Gauge("onsale_admission_rate", "People a second who are called.", ["occurrence"])
RATE_MAX: Final = Gauge("onsale_admission_rate_max", "The operator's rate.", ["occurrence"])

# Why the rate is what it is: 1 for the reason that holds, 0 for all others.
REASON: Final = Gauge(
    "onsale_admission_reason", "Why the line moves as it does.", ["occurrence", "reason"]
)

# How many stand where.
WAITING: Final = Gauge("onsale_admission_waiting", "Places not called yet.", ["occurrence"])
CALLED: Final = Gauge("onsale_admission_called", "Called and not yet in.", ["occurrence"])
INSIDE: Final = Gauge("onsale_admission_inside", "People who hold a pass.", ["occurrence"])

# Since this worker leads.
CALLS: Final = Counter("onsale_admission_calls_total", "People called.", ["occurrence"])

_OF_A_LINE: Final = (RATE, RATE_MAX, WAITING, CALLED, INSIDE, CALLS)


def tell(board: Board, decision: Decision, waiting: int) -> None:
    """Set the metrics of a line."""
    name = board.occurrence
    RATE.labels(name).set(decision.rate_milli / 1000)
    RATE_MAX.labels(name).set(board.most_calls_per_s)
    WAITING.labels(name).set(waiting)
    CALLED.labels(name).set(board.called)
    INSIDE.labels(name).set(board.queue.inside)
    CALLS.labels(name)
    for reason in REASONS:
        REASON.labels(name, reason).set(reason == decision.reason)


def forget(occurrence: str) -> None:
    """Drop the metrics of a line that this worker does not lead any more."""
    for metric in _OF_A_LINE:
        metric.remove(occurrence)
    for reason in REASONS:
        REASON.remove(occurrence, reason)
