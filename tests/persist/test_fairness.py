from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from redis.asyncio import Redis

from engine.audit.fairness import (
    FINDINGS_MAX,
    Fairness,
    Step,
    fairness,
    rank_correlation,
    read_fairness,
)
from engine.core.ids import new_id
from engine.queue.documents import QueueRecord, QueueRecordKind
from engine.sale.inventory.snapshot import Snapshot
from engine.write_behind.consumer import Consumer
from tests.houses import small_house
from tests.persist.conftest import Database, drain, enter
from tests.persist.test_audit import provider, sold
from tests.persist.test_commands import Run, run
from tests.persist.test_queue_events import told

__all__ = ["provider", "run", "sold"]


class Line:
    """Steps in the order in which they are noted."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def _note(self, kind: QueueRecordKind, **members: Any) -> Line:
        record = QueueRecord(occurrence="0" * 32, at=0, **members)
        self.steps.append(Step(f"1700000000000-{len(self.steps)}", kind, record))
        return self

    def call(self, first: int, last: int, empty: int = 0) -> Line:
        return self._note("queue.called", first=first, last=last, empty=empty)

    def enter(self, *numbers: int) -> Line:
        for number in numbers:
            self._note("queue.entered", number=number, buyer=f"{number:032x}")
        return self

    def end(self, number: int, how: str) -> Line:
        return self._note("queue.ended", number=number, buyer=f"{number:032x}", how=how)

    def report(self) -> Fairness:
        return fairness(self.steps)


def test_a_fair_line_has_no_inversion() -> None:
    line = Line().call(1, 5).enter(2, 1).call(6, 7).enter(5, 7, 6).end(2, "done")
    report = line.report()
    assert (report.calls, report.called, report.entered, report.no_shows) == (2, 7, 5, 2)
    assert (report.inversions, report.findings) == (0, ())


def test_empty_places_and_places_given_up_are_no_no_shows() -> None:
    line = Line().call(1, 10, empty=3).enter(1, 2).end(4, "left").end(2, "left").end(5, "expired")
    report = line.report()
    assert (report.called, report.entered, report.no_shows) == (7, 2, 4)


@pytest.mark.parametrize(
    ("line", "finding"),
    [
        (Line().call(2, 5), "0: numbers 2 to 5 were called after 0"),
        (Line().call(1, 5).call(7, 9), "1: numbers 7 to 9 were called after 5"),
        (Line().call(1, 5).call(5, 9), "1: numbers 5 to 9 were called after 5"),
        (Line().call(1, 5).call(1, 5), "1: numbers 1 to 5 were called after 5"),
        (Line().call(1, 5).call(6, 4), "1: numbers 6 to 4 were called after 5"),
        (Line().call(1, 5).enter(6), "1: number 6 came in when 5 were called"),
        (Line().enter(1).call(1, 5), "0: number 1 came in when 0 were called"),
        (Line().call(1, 5).enter(0), "1: number 0 came in when 5 were called"),
        (Line().call(1, 5).enter(3, 3), "2: number 3 came in twice"),
        (Line().call(1, 5).enter(3).end(3, "left").enter(3), "3: number 3 came in twice"),
    ],
)
def test_every_kind_of_inversion_is_counted_and_told(line: Line, finding: str) -> None:
    report = line.report()
    assert report.inversions == 1
    assert report.findings == (f"1700000000000-{finding}",)


def test_after_an_inversion_the_line_goes_on_from_the_highest_number() -> None:
    report = Line().call(1, 9).call(3, 4).call(10, 12).enter(11).report()
    assert report.inversions == 1


def test_inversions_are_counted_beyond_those_that_are_told() -> None:
    report = Line().enter(*range(1, FINDINGS_MAX + 11)).report()
    assert (report.inversions, len(report.findings)) == (FINDINGS_MAX + 10, FINDINGS_MAX)


def test_steps_count_once_and_in_the_order_of_the_stream() -> None:
    line = Line()
    for number in range(1, 21):  # entries ...-9 and ...-10 sort otherwise as text
        line.call(number, number).enter(number)
    shuffled = random.Random(5).sample(line.steps, len(line.steps)) + line.steps[:7]  # noqa: S311 - no secret
    assert fairness(shuffled) == line.report()
    assert line.report().inversions == 0


def test_nothing_to_tell_of_an_empty_line() -> None:
    report = fairness([])
    assert (report.calls, report.entered, report.inversions) == (0, 0, 0)
    assert report.order_of_entry_correlation is None


def _pearson(first: list[float], second: list[float]) -> float:
    n = len(first)
    means = sum(first) / n, sum(second) / n
    apart = [(a - means[0], b - means[1]) for a, b in zip(first, second, strict=True)]
    return float(
        sum(a * b for a, b in apart)
        / (sum(a * a for a, _ in apart) * sum(b * b for _, b in apart)) ** 0.5
    )


def test_the_correlation_is_that_of_the_ranks() -> None:
    assert rank_correlation([3]) is None
    assert rank_correlation([1, 5, 9, 200]) == 1
    assert rank_correlation([200, 9, 5, 1]) == -1
    numbers = random.Random(6).sample(range(10_000), 500)  # noqa: S311 - no secret
    ranks = [float(sorted(numbers).index(number)) for number in numbers]
    expected = _pearson(ranks, [float(at) for at in range(500)])
    assert rank_correlation(numbers) == pytest.approx(expected)


async def _records(client: Redis, occurrence: str) -> list[int]:
    entered = [2, 1, 4, 11, 9]
    await told(client, "queue.command", occurrence, actor="ada", command="open")
    await told(client, "queue.called", occurrence, first=1, last=6, empty=1)
    for number in entered[:3]:
        await told(client, "queue.entered", occurrence, buyer=new_id(), number=number, until=9)
    await told(client, "queue.called", occurrence, first=7, last=12)
    for number in entered[3:]:
        await told(client, "queue.entered", occurrence, buyer=new_id(), number=number, until=9)
    await told(client, "queue.ended", occurrence, buyer=new_id(), number=12, how="left")
    return entered


async def test_the_report_is_read_from_postgresql(
    redis_client: Redis, snapshot: Snapshot, consumer: Consumer, database: Database
) -> None:
    entered = await _records(redis_client, snapshot.occurrence)
    await drain(consumer, redis_client)
    report = await read_fairness(database.connection, snapshot.occurrence)
    assert report == Fairness(
        calls=2,
        called=11,
        entered=5,
        no_shows=5,
        inversions=0,
        findings=(),
        order_of_entry_correlation=rank_correlation(entered),
    )


async def test_rows_are_read_in_the_order_of_the_stream_and_of_one_occurrence(
    snapshot: Snapshot, database: Database
) -> None:
    other = small_house()
    await enter(database.connection, other)

    def rows() -> Iterator[tuple[str, str, str, int, str]]:
        for number in range(1, 13):  # entries 1-9 and 1-10 sort otherwise as text
            call = json.dumps({"first": number, "last": number})
            yield snapshot.occurrence, f"1-{2 * number}", "queue.called", 0, call
            yield snapshot.occurrence, f"1-{2 * number + 1}", "queue.entered", number, "{}"
        yield other.occurrence, "1-0", "queue.entered", 5, "{}"

    await database.connection.executemany(
        "INSERT INTO queue_events (occurrence_id, entry, kind, happened_at, number, buyer, detail)"
        " VALUES ($1, $2, $3, now(), nullif($4::int8, 0), 'b', $5)",
        list(rows()),
    )
    assert (await read_fairness(database.connection, snapshot.occurrence)).inversions == 0
    assert (await read_fairness(database.connection, other.occurrence)).inversions == 1


async def test_the_command_exits_with_1_when_somebody_came_in_ahead(
    redis_client: Redis, snapshot: Snapshot, consumer: Consumer, run: Run
) -> None:
    code, out, err = await run("fairness", snapshot.occurrence)
    assert (code, out, err) == (0, "Nobody has been called in yet.\n", "")
    await _records(redis_client, snapshot.occurrence)
    await drain(consumer, redis_client)
    code, out, err = await run("fairness", snapshot.occurrence)
    assert (code, err) == (0, "")
    assert "called in: 11 people, in 2 steps" in out
    assert "entered: 5; did not come so far: 5" in out
    assert "came in ahead of the turn: 0" in out
    await told(redis_client, "queue.entered", snapshot.occurrence, buyer=new_id(), number=13)
    await drain(consumer, redis_client)
    code, out, _ = await run("fairness", snapshot.occurrence)
    assert code == 1
    assert "came in ahead of the turn: 1" in out
    assert "number 13 came in when 12 were called" in out
    code, out, _ = await run("fairness", snapshot.occurrence, "--json")
    assert (code, json.loads(out)["inversions"]) == (1, 1)


async def test_the_command_refuses_an_occurrence_that_there_is_not(run: Run) -> None:
    code, _, err = await run("fairness", new_id())
    assert code == 2
    assert "PostgreSQL has no occurrence" in err
