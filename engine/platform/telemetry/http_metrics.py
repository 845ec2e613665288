"""Metrics for Prometheus, counted so cheaply that hot routes can afford it.

All numbers of an installation live in one anonymous shared memory of 64-bit
counters, one slab a process, made before the API forks. Each process adds to
its own slab (no lock, ~0.4 us a request); whichever process is scraped adds
up all slabs, so what it tells is right although the kernel picks the process.
"""

from __future__ import annotations

import mmap
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

# Statuses that the interface uses; another one counts as 0, "other".
STATUSES = (
    0, 101, 200, 201, 204, 304, 400, 401, 402, 403, 404, 405,
    408, 409, 413, 414, 415, 417, 422, 426, 429, 431, 499, 500, 503,
)  # fmt: skip
_STATUS_INDEX = {status: index for index, status in enumerate(STATUSES)}

# Seconds. A hot request takes some 2 ms under load, a payment call up to 10 s.
LATENCY_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Definition(NamedTuple):
    """A metric: its name after ``onsale_``, what it tells, and how processes are added up."""

    name: str
    help: str
    kind: Literal["counter", "gauge", "largest"] = "counter"


REQUESTS = Definition("http_requests", "Requests answered, by route and status.")
LATENCY = Definition("http_request_seconds", "Time from the head of a request to its response.")

# Set by every process once a second. Commands divided by flushes is the mean size of a batch.
LIVE_SOCKETS = Definition("live_sockets", "Open live connections to seat maps.", "gauge")
LIVE_DROPPED = Definition("live_sockets_dropped", "Sockets dropped for being slow.")
QUEUE_SOCKETS = Definition("queue_sockets", "Open live connections to lines.", "gauge")
QUEUE_DROPPED = Definition("queue_sockets_dropped", "Those dropped for being slow.")
QUEUE_BROADCASTS = Definition("queue_broadcasts", "Messages to all live connections of a line.")
QUEUE_TOLD = Definition("queue_messages", "Messages to single ones: called, inside, over.")
FLUSHES = Definition("batch_flushes", "Round trips to the store with commands of the sale.")
COMMANDS = Definition("batch_commands", "Commands of the sale sent to the store.")
WAITING = Definition("batch_waiting", "Commands waiting for the next flush.", "gauge")
BACKLOG = Definition("backlog_records", "Records not yet in PostgreSQL.", "largest")
UNREADABLE = Definition(
    "occurrences_unreadable",
    "Published occurrences that cannot be read and are left out.",
    "largest",
)
WEBHOOKS_FOREIGN = Definition("webhooks_foreign", "Messages about other installations' payments.")
WEBHOOKS_UNWANTED = Definition("webhooks_unwanted", "Messages of kinds that nobody wants.")
SAMPLES = (
    LIVE_SOCKETS,
    LIVE_DROPPED,
    QUEUE_SOCKETS,
    QUEUE_DROPPED,
    QUEUE_BROADCASTS,
    QUEUE_TOLD,
    FLUSHES,
    COMMANDS,
    WAITING,
    BACKLOG,
    UNREADABLE,
    WEBHOOKS_FOREIGN,
    WEBHOOKS_UNWANTED,
)

_WORD = 8
_US = 1_000_000


class Metrics:
    """Counts for ``routes`` (names) in up to ``processes`` processes that fork from this one."""

    def __init__(self, routes: Sequence[str], processes: int = 1) -> None:
        self._routes = tuple(routes)
        self._per_route = len(STATUSES) + len(LATENCY_BOUNDS_S) + 1 + 1  # .., overflow, sum
        self._samples = len(self._routes) * self._per_route
        self._slots = self._samples + len(SAMPLES)
        self._memory = memoryview(mmap.mmap(-1, _WORD * self._slots * processes)).cast("Q")
        self._processes = processes
        self._index = {name: place * self._per_route for place, name in enumerate(self._routes)}
        self._slab = self._memory[: self._slots]
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def attach(self, process: int) -> None:
        """Count into the slab of the ``process``-th process (from 0) from now on.

        A process that replaces a dead one counts requests on where that one ended.
        """
        self._slab = self._memory[process * self._slots : (process + 1) * self._slots]
        for definition in SAMPLES:
            self.sample(definition, 0)

    def observe(self, route: str, status: int, seconds: float | None) -> None:
        """Count an answered request; its time too, unless it is None (a WebSocket's life)."""
        slab, base = self._slab, self._index[route]
        slab[base + _STATUS_INDEX.get(status, 0)] += 1
        if seconds is None:
            return
        base += len(STATUSES)
        slab[base + bisect_left(LATENCY_BOUNDS_S, seconds)] += 1
        slab[base + len(LATENCY_BOUNDS_S) + 1] += int(seconds * _US)

    def sample(self, definition: Definition, value: int) -> None:
        """Set this process's value of one of ``SAMPLES``."""
        self._slab[self._samples + SAMPLES.index(definition)] = value

    def exposition(self) -> bytes:
        """Return everything in the text format of Prometheus."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield every metric (the protocol of prometheus-client's collectors)."""
        total = [sum(self._memory[slot :: self._slots].tolist()) for slot in range(self._slots)]
        requests = CounterMetricFamily(
            f"onsale_{REQUESTS.name}", REQUESTS.help, labels=["route", "status"]
        )
        latency = HistogramMetricFamily(f"onsale_{LATENCY.name}", LATENCY.help, labels=["route"])
        for route, base in self._index.items():
            for place, status in enumerate(STATUSES):
                if total[base + place]:
                    requests.add_metric([route, str(status or "other")], total[base + place])
            buckets, seconds = _cumulative(total, base + len(STATUSES), LATENCY_BOUNDS_S)
            if buckets[-1][1]:
                latency.add_metric([route], buckets, seconds / _US)
        yield requests
        yield latency
        for place, definition in enumerate(SAMPLES):
            name, help_ = f"onsale_{definition.name}", definition.help
            values = self._memory[self._samples + place :: self._slots].tolist()
            if definition.kind == "counter":
                yield CounterMetricFamily(name, help_, value=sum(values))
            else:
                value = max(values) if definition.kind == "largest" else sum(values)
                yield GaugeMetricFamily(name, help_, value=value)


def _cumulative(
    total: Sequence[int], base: int, bounds: Sequence[float]
) -> tuple[list[tuple[str, float]], int]:
    """Return the buckets as Prometheus counts them (each includes those below), and the sum."""
    buckets: list[tuple[str, float]] = []
    count = 0
    for place, bound in enumerate((*bounds, float("inf"))):
        count += total[base + place]
        buckets.append(("+Inf" if bound == float("inf") else str(float(bound)), float(count)))
    return buckets, total[base + len(bounds) + 1]
