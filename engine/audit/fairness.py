"""Was the line fair? Reckoned from the records of a waiting room, and from nothing else.

An inversion is a person who came in ahead of the turn: a call that is not the
next numbers in line, or somebody who enters without having been called, or
twice for one place. There is none, whatever happened.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from engine.queue.documents import QueueRecord
from engine.write_behind.tables import Connected

FINDINGS_MAX: Final = 20  # inversions that are told; the rest is only counted
_PREFETCH: Final = 5_000

_STEPS: Final = """
    SELECT entry, kind, happened_at, coalesce(number, 0) AS number, coalesce(buyer, '') AS buyer,
           coalesce(detail->>'how', '') AS how, coalesce((detail->>'first')::int8, 0) AS first,
           coalesce((detail->>'last')::int8, 0) AS last,
           coalesce((detail->>'empty')::int8, 0) AS empty
    FROM queue_events
    WHERE occurrence_id = $1 AND kind IN ('queue.called', 'queue.entered', 'queue.ended')
    ORDER BY split_part(entry, '-', 1)::int8, split_part(entry, '-', 2)::int8"""


class Step(NamedTuple):
    """One record: its id in the stream, its kind (field ``k``), and its document (``q``)."""

    entry: str
    kind: str
    record: QueueRecord


class Fairness(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a line.

    ``calls``: records of calls; ``called``: people in them, places given up
    before the call left out. ``no_shows``: called, and neither came in nor gave
    the place up, so far. ``order_of_entry_correlation``: Spearman's, of the
    numbers with the order in which their owners came in; 1 when nobody came in
    before a smaller number, less as people use their time to claim; None with
    fewer than two.
    """

    calls: int
    called: int
    entered: int
    no_shows: int
    inversions: int
    findings: tuple[str, ...]
    order_of_entry_correlation: float | None


class Reckoning:
    """Takes the steps of one line in the order of the stream."""

    def __init__(self) -> None:
        self._calls = self._called = self._last = 0
        self._entered: list[int] = []
        self._inside: set[int] = set()
        self._given_up: set[int] = set()
        self._inversions = 0
        self._findings: list[str] = []

    def add(self, step: Step) -> None:
        """Take the next step; kinds that say nothing of the order are passed over."""
        record = step.record
        if step.kind == "queue.called":
            self._call(step.entry, record)
        elif step.kind == "queue.entered":
            self._enter(step.entry, record.number)
        elif record.how == "left" and record.number not in self._inside:
            self._given_up.add(record.number)

    def result(self) -> Fairness:
        """Return the report of the steps so far."""
        entered = len(self._inside)
        return Fairness(
            calls=self._calls,
            called=self._called,
            entered=entered,
            no_shows=max(self._called - entered - len(self._given_up), 0),
            inversions=self._inversions,
            findings=tuple(self._findings),
            order_of_entry_correlation=rank_correlation(self._entered),
        )

    def _call(self, entry: str, record: QueueRecord) -> None:
        self._calls += 1
        self._called += record.last - record.first + 1 - record.empty
        if record.first != self._last + 1 or record.last < record.first:
            self._invert(
                entry,
                f"numbers {record.first} to {record.last} were called after {self._last}",
            )
        self._last = max(self._last, record.last)

    def _enter(self, entry: str, number: int) -> None:
        if number in self._inside:
            self._invert(entry, f"number {number} came in twice")
            return
        if not 1 <= number <= self._last:
            self._invert(entry, f"number {number} came in when {self._last} were called")
        self._inside.add(number)
        self._entered.append(number)

    def _invert(self, entry: str, what: str) -> None:
        self._inversions += 1
        if len(self._findings) < FINDINGS_MAX:
            self._findings.append(f"{entry}: {what}")


def fairness(steps: Iterable[Step]) -> Fairness:
    """Return the report of one line's steps, in any order and possibly delivered twice."""
    reckoning = Reckoning()
    before = ""
    for step in sorted(steps, key=lambda step: _moment(step.entry)):
        if step.entry != before:
            reckoning.add(step)
        before = step.entry
    return reckoning.result()


async def read_fairness(connection: Connected, occurrence: str) -> Fairness:
    """Return the report of an occurrence's line as far as it is in PostgreSQL.

    Raises what asyncpg raises.
    """
    reckoning = Reckoning()
    async with connection.transaction(readonly=True):
        async for row in connection.cursor(_STEPS, occurrence, prefetch=_PREFETCH):
            entry, kind, at, number, buyer, how, first, last, empty = row
            record = QueueRecord(
                occurrence=occurrence,
                at=at,
                number=number,
                buyer=buyer,
                how=how,
                first=first,
                last=last,
                empty=empty,
            )
            reckoning.add(Step(entry, kind, record))
    return reckoning.result()


def rank_correlation(numbers: list[int]) -> float | None:
    """Return Spearman's correlation of distinct numbers with their order in the list.

    1 - 6 * sum(d * d) / (n * (n * n - 1)), where d is how far a number stands
    from where it would stand in sorted order (Spearman 1904); None below two.
    """
    n = len(numbers)
    if n < 2:  # noqa: PLR2004 - one has no order
        return None
    order = sorted(range(n), key=numbers.__getitem__)
    apart = sum((rank - at) ** 2 for rank, at in enumerate(order))
    return 1 - 6 * apart / (n * (n * n - 1))


def _moment(entry: str) -> tuple[int, int]:
    time_ms, _, count = entry.partition("-")
    return int(time_ms), int(count or 0)
