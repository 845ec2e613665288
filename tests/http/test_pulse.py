"""What a serving process tells of itself, and how it is reckoned."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from engine.core.errors import UnauthorizedError
from engine.payments.errors import PaymentRefusedError, PaymentUnavailableError
from engine.platform.valkey.connections import connect
from engine.platform.valkey.errors import OverloadedError
from engine.queue.admission import reporting as pulse_module
from engine.queue.admission.edge_reports import Pulse, read_pulses, report_pulse
from engine.queue.admission.reporting import BUYERS_MIN, Heart
from engine.queue.admission.samples import BUYERS_MAX, PAYMENT_SECONDS, SECONDS, InsideSamples
from engine.sale.errors import OrderStateError
from tests.http.running import Edge, Own, eventually


@pytest.fixture
def samples() -> InsideSamples:
    return InsideSamples()


def test_the_time_is_that_of_the_middle_buyer(samples: InsideSamples) -> None:
    heart = Heart(samples)
    times = [0.001 * (number + 1) for number in range(10)]
    random.Random(0).shuffle(times)  # noqa: S311 - a test's dice
    for number, seconds in enumerate(times):
        samples.holds.add(f"buyer {number}", seconds)
        samples.checkouts.add(f"buyer {number}", 10 * seconds)
    told = heart.take()
    assert (told.hold_us, told.checkout_us) == (5_000, 50_000)  # the lower of two


def test_a_few_buyers_say_nothing(samples: InsideSamples) -> None:
    heart = Heart(samples)
    for number in range(BUYERS_MIN - 1):
        for _ in range(100):
            samples.holds.add(f"buyer {number}", 9.0)
            samples.checkouts.add(f"buyer {number}", 9.0)
    told = heart.take()
    assert (told.hold_us, told.checkout_us) == (0, 0)
    samples.holds.add("another", 9.0)
    assert heart.take().hold_us == 9_000_000


@given(
    others=st.lists(st.floats(0.0001, 0.1), min_size=BUYERS_MIN, max_size=40),
    slow=st.integers(0, 39),
    repeats=st.integers(1, 50),
)
def test_who_is_not_the_most_does_not_drag_the_middle(
    others: list[float], slow: int, repeats: int
) -> None:
    samples = InsideSamples()
    heart = Heart(samples)
    slow = min(slow, len(others) - 1)  # of those inside, and each as often as they like
    for number, seconds in enumerate(others):
        samples.holds.add(f"other {number}", seconds)
    for _ in range(repeats):
        for number in range(slow):
            samples.holds.add(f"slow {number}", 9.0)
    assert heart.take().hold_us <= max(others) * 1_000_000


def test_only_the_last_seconds_count(samples: InsideSamples) -> None:
    heart = Heart(samples)
    for number in range(50):
        samples.holds.add(str(number), 5.0)
    slow = [heart.take().hold_us > 0 for _ in range(SECONDS + 3)]
    assert slow == [True] * SECONDS + [False] * 3


def test_so_many_buyers_are_kept_and_no_more(samples: InsideSamples) -> None:
    for number in range(3 * BUYERS_MAX):
        samples.holds.add(str(number), 5.0)
    samples.holds.add("0", 1.0)
    found = samples.holds.turn()
    assert len(found) == BUYERS_MAX
    assert found.count(1.0) == 1


async def answered(samples: InsideSamples, buyer: str, error: Exception | None) -> None:
    async def asking() -> str:
        if error is not None:
            raise error
        return "made"

    paying = samples.paying(buyer, asking(), lambda made: made == "made")
    if error is None:
        assert await paying == "made"
        return
    with pytest.raises(type(error)) as raised:
        await paying
    assert raised.value is error


@pytest.mark.parametrize(
    ("error", "counted", "failed"),
    [
        (None, 1, 0),
        (PaymentUnavailableError(), 1, 1),
        (PaymentRefusedError(provider_code="card_declined"), 1, 0),
        # who was not let through to the provider says nothing about it
        (OrderStateError(), 0, 0),
        (OverloadedError(), 0, 0),
        (UnauthorizedError(), 0, 0),
        (RuntimeError("a mistake of ours"), 0, 0),
    ],
    ids=repr,
)
async def test_only_a_provider_that_does_not_answer_fails(
    samples: InsideSamples, error: Exception | None, counted: int, failed: int
) -> None:
    await answered(samples, "ada", error)
    told = Heart(samples).take()
    assert (told.payments, told.failures) == (counted, failed)


async def test_what_has_not_asked_the_provider_is_no_payment(samples: InsideSamples) -> None:
    async def free() -> None:
        """Nothing to pay."""

    await samples.paying("ada", free(), lambda made: made is not None)
    assert Heart(samples).take().payments == 0


async def test_a_buyer_is_one_payment_however_often_they_ask(samples: InsideSamples) -> None:
    heart = Heart(samples)
    for buyer in ("ada", "bob", "cy"):
        for _ in range(100):
            await answered(samples, buyer, PaymentUnavailableError())
    await answered(samples, "cy", None)  # the newest counts
    told = [heart.take() for _ in range(PAYMENT_SECONDS + 2)]
    counted = [(pulse.payments, pulse.failures) for pulse in told]
    assert counted == [(3, 2)] * PAYMENT_SECONDS + [(0, 0)] * 2


def test_lag_is_what_the_loop_is_late_by_every_other_time(samples: InsideSamples) -> None:
    heart = Heart(samples)
    assert heart.take().lag_us == 0
    for seconds in [0.010, 0.020, -0.001] * 10:
        heart.late(seconds)
    assert heart.take().lag_us == 10_000
    for _ in range(14):
        heart.late(5.0)  # some hiccups are no trend
    assert heart.take().lag_us <= 20_000
    for _ in range(2):
        heart.late(5.0)
    assert heart.take().lag_us == 5_000_000


async def test_the_edge_tells(edge: Edge) -> None:
    async def heard() -> bool:
        return len(await read_pulses(edge.redis)) == 1

    await eventually(heard)


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
