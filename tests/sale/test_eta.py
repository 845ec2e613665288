"""What people in line are told of their time, against simulated lines in which it comes true."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from engine.queue.admission.controller import STEP_S, Controller, Edge, Observation
from engine.queue.documents import Queue
from engine.queue.live.forecast import Eta, Limit, eta, outlook, stock_limit
from engine.queue.live.pace import PaceMeter
from engine.queue.store import QueueState

STEP_MS = round(STEP_S * 1000)
HOLD_MS_MAX = 900_000
Dice = random.Random


@dataclass
class Regime:
    """``rate``: people a second; ``stay_s``: of one inside; ``joins_s``: five join so often."""

    rate: float = 10.0
    cap: int = 10**6
    stay_s: Callable[[Dice], float] = lambda dice: dice.uniform(60, 300)
    free: int = 10**6
    people: int = 300
    joins_s: float = 0.0
    no_shows: float = 0.05
    claim_s: float = 120.0
    shop_s: float = 600.0
    pause_at_s: float = math.inf
    minutes: int = 40


@dataclass
class Told:
    at_ms: int
    number: int
    told: Eta


@dataclass
class Line:
    """A line under its leader; the clock is the sale's."""

    regime: Regime
    dice: Dice
    now_ms: int = 0
    queue: Queue = field(init=False)
    called: list[tuple[int, bool]] = field(default_factory=list)  # enters or is late at, shows up
    inside: list[tuple[int, int]] = field(default_factory=list)  # until, tickets held
    held: int = 0
    sold: int = 0
    credit: float = 1.0
    called_at: dict[int, int] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)

    def __post_init__(self) -> None:
        regime = self.regime
        self.free = regime.free
        self.controller, self.meter = Controller(), PaceMeter()
        self.queue = Queue(
            on=True,
            phase="open",
            opens=0,
            pre_ms=0,
            rate=round(regime.rate * 10),
            rate_ms=10_000,
            cap=regime.cap,
            claim_ms=round(regime.claim_s * 1000),
            shop_ms=round(regime.shop_s * 1000),
            count=0 if regime.joins_s else regime.people,
            drawn=0,
        )

    def state(self) -> QueueState:
        return QueueState(
            queue=self.queue,
            packed=(b"", b""),
            paused=False,
            now_ms=self.now_ms,
            wall_ms=self.now_ms,
            called=len(self.called),
        )

    def run(self) -> None:
        for step in range(self.regime.minutes * 60_000 // STEP_MS):
            self.now_ms += STEP_MS
            self._people()
            pace = self.meter.note(self.state(), hold_ms_max=HOLD_MS_MAX)
            if step % 25 == 0:  # every five seconds somebody near and somebody far
                self._ask(pace)
            self._call()
            if self.regime.pause_at_s * 1000 <= self.now_ms:
                self._pause()
            if self.queue.served >= self.regime.people:
                return

    def _pause(self) -> None:
        """A pause: readings go on, the sale clock stands still."""
        self.regime.pause_at_s = math.inf
        for _ in range(500):
            self.meter.note(self.state(), hold_ms_max=HOLD_MS_MAX)

    def _people(self) -> None:
        regime, queue, now = self.regime, self.queue, self.now_ms
        if regime.joins_s:
            queue.count = min(int(now / 1000 / regime.joins_s) * 5, regime.people)
        for due, shows in [one for one in self.called if one[0] <= now]:
            self.called.remove((due, shows))
            if not shows:
                queue.no_shows += 1
                continue
            queue.entered += 1
            queue.inside += 1
            tickets = min(self.dice.choice((1, 2, 2, 4)), self.free)
            self.free, self.held = self.free - tickets, self.held + tickets
            self.inside.append((now + round(regime.stay_s(self.dice) * 1000), tickets))
        for until, tickets in [one for one in self.inside if one[0] <= now]:
            self.inside.remove((until, tickets))
            queue.inside -= 1
            self.held -= tickets
            if tickets and self.dice.random() < 0.6:
                queue.done += 1
                self.sold += tickets
            else:
                self.free += tickets

    def _call(self) -> None:
        queue, rate = self.queue, self.queue.rate * 1000 / self.queue.rate_ms
        decision = self.controller.decide(
            Observation(
                on=True,
                phase="open",
                drawn=True,
                paused=False,
                rate_milli=round(rate * 1000),
                cap=queue.cap,
                waiting=queue.count - queue.served,
                inside=queue.inside,
                called=len(self.called),
                free=self.free,
                held=self.held,
                outlook=self._outlook(),
                edge=Edge(),
            ),
            self.now_ms / 1000,
        )
        allowed_rate = min(rate, decision.rate_milli / 1000)
        self.credit = min(self.credit + STEP_S * allowed_rate, max(allowed_rate, 1.0))
        for _ in range(min(decision.allowed, int(self.credit), queue.count - queue.served)):
            self.credit -= 1
            queue.served += 1
            self.called_at[queue.served] = self.now_ms
            shows = self.dice.random() >= self.regime.no_shows
            late = self.dice.uniform(1, 8) * 1000 if shows else queue.claim_ms
            self.called.append((self.now_ms + round(late), shows))

    def _outlook(self) -> Any:
        queue = self.queue
        return outlook(queue.done, queue.no_shows + queue.entered - queue.inside, self.sold)

    def _ask(self, pace: Any) -> None:
        queue, people = self.queue, self._outlook()
        takers = len(self.called) + max(queue.inside - round(self.held / max(people.tickets, 1)), 0)
        most = queue.rate * 1000 / queue.rate_ms
        short = stock_limit(self.free, self.held, takers, min(most, pace.calls_per_s), people)
        limits: list[Limit] = [pace.cap] if short is None else [pace.cap, short]
        for number in {queue.served + 1, queue.served + 20, queue.served + 150}:
            if number <= queue.count:
                told = eta(number - queue.served - 1, pace.calls_per_s, most, limits)
                if told is not None:
                    self.told.append(Told(self.now_ms, number, told))


def covered(line: Line) -> tuple[int, int]:
    """How many of those who were told a range were called within it, of how many.

    To a step: the line moves in steps, and one who asks in between is told by the last.
    """
    told = [one for one in line.told if one.number in line.called_at]
    within = sum(
        one.told.from_ms - STEP_MS <= line.called_at[one.number] - one.at_ms <= one.told.to_ms
        for one in told
    )
    return within, len(told)


def exactly(seconds: float) -> Callable[[Dice], float]:
    def stay(_dice: Dice) -> float:
        return seconds

    return stay


REGIMES: dict[str, Callable[[], Regime]] = {
    "the rate": lambda: Regime(people=600),
    "a slow rate": lambda: Regime(rate=0.5, people=200),
    "the cap, all stay 16 s": lambda: Regime(cap=5, stay_s=exactly(16)),
    "a cap of one": lambda: Regime(cap=1, stay_s=exactly(10), people=100),
    "the cap, short and long stays": lambda: Regime(
        cap=20, stay_s=lambda dice: dice.choice((5, 20, 240))
    ),
    "the cap, stays of all lengths": lambda: Regime(
        cap=50, stay_s=lambda dice: min(dice.expovariate(1 / 90), 600)
    ),
    "the cap, nobody leaves early": lambda: Regime(cap=40, stay_s=exactly(600), minutes=90),
    "the cap, reached late": lambda: Regime(
        cap=200, people=500, stay_s=lambda dice: dice.uniform(60, 300)
    ),
    "the cap, many who do not come": lambda: Regime(
        cap=20, no_shows=0.5, claim_s=20, stay_s=lambda dice: dice.uniform(20, 60)
    ),
    "the cap, with a pause": lambda: Regime(cap=5, stay_s=exactly(16), pause_at_s=100),
    "the rate, with a pause": lambda: Regime(people=600, pause_at_s=20),
    "few who join": lambda: Regime(rate=1.0, people=300, joins_s=10.0, minutes=10),
    "the stock": lambda: Regime(people=200, free=60, stay_s=lambda dice: dice.uniform(20, 120)),
    "the stock and the cap": lambda: Regime(
        people=200, cap=10, free=40, stay_s=lambda dice: dice.uniform(20, 60)
    ),
}


@pytest.mark.parametrize("regime", REGIMES)
def test_the_range_that_people_are_told_is_what_it_takes(regime: str) -> None:
    within = asked = 0
    for seed in range(4):
        line = Line(REGIMES[regime](), Dice(seed))
        line.run()
        some, of = covered(line)
        within, asked = within + some, asked + of
    assert asked > 30
    assert within / asked > 0.93, f"{within} of {asked}"


def test_when_the_cap_is_full_nobody_is_told_that_they_are_called_at_once() -> None:
    line = Line(Regime(cap=5, stay_s=exactly(16)), Dice(1))
    line.run()
    told = [one for one in line.told if one.number in line.called_at and one.at_ms > 120_000]
    assert len(told) > 50
    for one in told:
        took = line.called_at[one.number] - one.at_ms
        assert one.told.to_ms > took / 2
    far = [one.told for one in told if one.told.likely_ms > 60_000]
    assert all(told.from_ms > 10_000 and told.to_ms < 3 * told.likely_ms for told in far)


def test_what_is_told_of_a_full_line_does_not_follow_from_the_rate_alone() -> None:
    cap = Limit(room=0, per_s=0.3, seen=100)
    told = eta(11, 10.0, 10.0, [cap])
    assert told is not None
    assert told.likely_ms == 40_000
    free = eta(11, 10.0, 10.0, [Limit(room=12, per_s=0.3, seen=100)])
    assert free is not None
    assert free.likely_ms == 1_200
    # one who stays outside the room waits for one to leave, even if none has for a while
    first = eta(0, 0.0, 10.0, [cap])
    assert first is not None
    assert first.likely_ms > 3_000
    later = eta(0, 10.0, 10.0, starts_in_ms=60_000)
    assert later is not None
    assert later.from_ms >= 60_000


def test_of_a_stock_that_is_spoken_for_only_the_next_are_told_a_time() -> None:
    people = outlook(0, 0, 0)
    assert stock_limit(1_000, 0, 0, 10.0, people) is None
    short = stock_limit(10, 5, 20, 10.0, people)
    assert short is not None
    assert eta(0, 10.0, 10.0, [short]) is not None
    assert eta(1_000, 10.0, 10.0, [short]) is None
    gone = stock_limit(0, 0, 20, 10.0, people)
    assert gone is not None
    assert eta(0, 10.0, 10.0, [gone]) is None
