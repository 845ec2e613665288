"""What a serving process tells of itself, and how it is reckoned."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from engine.http import pulse as pulse_module
from engine.http.metrics import Metrics
from engine.http.pulse import PAYMENT_SECONDS, SECONDS, Heart
from engine.store.client import connect
from engine.store.edge_pulse import Pulse, read_pulses, report_pulse
from tests.http.running import Edge, Own, eventually

ROUTES = ("create_hold", "check_out", "settle_order", "read_order")


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(ROUTES)


def test_the_time_of_95_percent_is_between_the_bounds_of_its_bucket(metrics: Metrics) -> None:
    heart = Heart(metrics)
    for _ in range(90):
        metrics.observe("create_hold", 201, 0.002)
    for _ in range(10):
        metrics.observe("create_hold", 409, 0.04)
    told = heart.take()
    assert told.hold_us == 25_000 + 25_000 // 2  # the fifth of ten between 25 and 50 ms
    assert told.checkout_us == 0


def test_what_is_beyond_all_bounds_counts_as_the_last(metrics: Metrics) -> None:
    heart = Heart(metrics)
    for _ in range(20):
        metrics.observe("check_out", 201, 60.0)
    assert heart.take().checkout_us == 10_000_000


def test_a_few_answers_say_nothing(metrics: Metrics) -> None:
    heart = Heart(metrics)
    for _ in range(4):
        metrics.observe("create_hold", 201, 3.0)
    assert heart.take().hold_us == 0


def test_only_the_last_seconds_count(metrics: Metrics) -> None:
    for _ in range(50):
        metrics.observe("create_hold", 201, 5.0)  # before it was born: another process's
    heart = Heart(metrics)
    assert heart.take().hold_us == 0
    for _ in range(50):
        metrics.observe("create_hold", 201, 5.0)
    slow = [heart.take().hold_us > 0 for _ in range(SECONDS + 3)]
    assert slow == [True] * SECONDS + [False] * 3


def test_payments_are_those_that_waited_for_the_provider(metrics: Metrics) -> None:
    heart = Heart(metrics)
    for status in (201, 201, 503, 402):
        metrics.observe("check_out", status, 0.3)
    metrics.observe("settle_order", 503, 0.3)
    metrics.observe("read_order", 503, 0.3)
    told = [heart.take() for _ in range(PAYMENT_SECONDS + 2)]
    counted = [(pulse.payments, pulse.failures) for pulse in told]
    assert counted == [(5, 2)] * PAYMENT_SECONDS + [(0, 0)] * 2


def test_lag_is_the_mean_of_the_last_seconds(metrics: Metrics) -> None:
    heart = Heart(metrics)
    assert heart.take().lag_us == 0
    for _ in range(1_000):
        heart.late(5.0)
    for seconds in [0.010, 0.020, -0.001] * 10:
        heart.late(seconds)
    assert heart.take().lag_us == 10_000


async def test_the_edge_tells(edge: Edge) -> None:
    async def heard() -> bool:
        return len(await read_pulses(edge.redis)) == 1

    await eventually(heard)


async def test_holds_of_the_lean_way_are_in_it(edge: Edge) -> None:
    for _ in range(6):
        buyer = await edge.guest()
        answer = await edge.hold(buyer, {"ticket_type": "standing", "quantity": 1})
        assert answer.status == 201, answer

    async def told() -> bool:
        pulses = await read_pulses(edge.redis)
        return any(pulse.hold_us > 0 for pulse in pulses)

    await eventually(told)


async def test_a_store_that_goes_away_and_comes_back_is_told_again(
    own: Own, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tries: list[Pulse] = []

    async def tell(client: Redis, pulse: Pulse) -> int:
        tries.append(pulse)
        return await report_pulse(client, pulse)

    async def three_more() -> bool:
        return len(tries) >= before + 3

    async def heard() -> bool:
        async with connect(f"{own.server.url}/0") as client:
            return bool(await read_pulses(client))

    monkeypatch.setattr(pulse_module, "report_pulse", tell)
    await eventually(heard)
    await own.away()
    before = len(tries)
    await eventually(three_more, within_s=30)
    assert caplog.text.count("is not heard") == 1
    await own.back()
    await eventually(heard, within_s=30)
