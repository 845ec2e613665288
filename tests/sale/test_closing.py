"""Orders are closed at the provider beside the sweep: one that hangs holds up nobody's hold."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from devkit.stripe.faults import Fault
from engine.core.ids import new_id
from engine.payments.errors import PaymentRefusedError, PaymentUnavailableError
from engine.platform.jobs.periodic import Periodic
from engine.platform.jobs.runner import Runner
from engine.platform.valkey import keys
from engine.sale import metrics
from engine.sale.documents import Order
from engine.sale.inventory import inspection, publication
from engine.sale.inventory.occurrences import Published
from engine.sale.orders import closing
from engine.sale.orders.settlement import AGAIN_MS, Settlement
from engine.sale.requests import HoldRequest, LineRequest
from tests.clocks import put_clock_ahead
from tests.houses import small_house
from tests.sale.conftest import SHARD, Box, idempotency

LATE_MS = 600_001


async def sold_out_of(box: Box, occurrence: str) -> int:
    counters = await inspection.read_counters(box.client, SHARD, occurrence)
    return sum(counter.held for counter in counters)


async def due_at(box: Box, order: str) -> float | None:
    found: float | None = await box.client.zscore(f"{box.place}:due", f"o{order}")
    return found


async def document(box: Box, order: str) -> Order:
    packed: Any = await box.client.get(f"{box.place}:o:{order}")
    return msgspec.msgpack.decode(packed, type=Order)


async def test_a_provider_that_hangs_delays_no_hold_of_another_occurrence(
    box: Box, redis_client: Redis
) -> None:
    other = small_house()
    await publication.publish(redis_client, other, shard=SHARD)
    for _ in range(6):
        await box.pending(new_id(), LineRequest(ticket_type="stalls", quantity=1))
    await box.advance(LATE_MS)
    box.stripe.fail(Fault(mode="hang", count=1_000))
    stop = asyncio.Event()
    runner = Runner([Periodic("expiry", 0.01, box.sale.expiry.run_once)])
    running = asyncio.create_task(runner.run(stop))
    try:
        for round_ in range(1, 4):
            await box.sale.holds.acquire(
                new_id(),
                other.occurrence,
                HoldRequest(lines=[LineRequest(ticket_type="standing", quantity=2)]),
                idempotency(),
            )
            ahead = round_ * 1_000_000
            await put_clock_ahead(box.client, keys.prefix(SHARD, other.occurrence), ahead)

            async def swept() -> bool:
                return await sold_out_of(box, other.occurrence) == 0

            await box.until(swept)
            # the provider was asked and has answered nobody; it is told again and again
            await box.advance(AGAIN_MS * 10)
        assert await sold_out_of(box, box.occurrence) > 0
    finally:
        stop.set()
        await running


async def test_a_round_with_a_provider_that_hangs_ends(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first round waits a little, the next one hardly, whatever hangs; nothing waits for it."""
    released = asyncio.Event()

    async def hangs(self: Settlement, published: Published, order: Order) -> Order:
        del self, published
        await released.wait()
        return order

    monkeypatch.setattr(Settlement, "close", hangs)
    checkouts = [
        await box.pending(new_id(), LineRequest(ticket_type="stalls", quantity=1)) for _ in range(3)
    ]
    await box.advance(LATE_MS)
    await box.sale.expiry.run_once()
    under_way = box.sale.expiry._closing._open
    assert set(under_way) == {checkout.order.id for checkout in checkouts}
    tasks = dict(under_way)
    await box.advance(AGAIN_MS + 1)
    await box.sale.expiry.run_once()  # they are due again, and still under way: once each
    assert under_way == tasks
    await box.sale.expiry.stop()
    assert not under_way
    assert all(task.cancelled() for task in tasks.values())


async def test_what_is_under_way_is_bounded_and_the_rest_comes_with_a_later_round(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "OPEN_MAX", 2)
    checkouts = [
        await box.pending(new_id(), LineRequest(ticket_type="stalls", quantity=1)) for _ in range(5)
    ]
    await box.advance(LATE_MS)
    assert await box.sale.expiry.run_once() == 2
    for _ in range(2):
        await box.advance(AGAIN_MS + 1)
        await box.sale.expiry.run_once()
    states = {(await document(box, checkout.order.id)).state for checkout in checkouts}
    assert states == {"cancelled"}


@pytest.mark.parametrize("error", [PaymentRefusedError, PaymentUnavailableError, RuntimeError])
async def test_an_order_that_cannot_be_closed_is_tried_ever_more_seldom(
    box: Box, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    checkout = await box.pending(new_id())
    order = checkout.order.id
    tries: list[str] = []

    async def fails(self: Settlement, published: Published, found: Order) -> Order:
        del self, published
        tries.append(found.id)
        raise error

    await box.advance(LATE_MS)
    pauses: list[float] = []
    with monkeypatch.context() as patch:
        patch.setattr(Settlement, "close", fails)
        for _ in range(10):
            await box.sale.expiry.run_once()
            answer = await box.sale.commands.read(box.place, "o", order)
            due = await due_at(box, order)
            assert due is not None
            pauses.append(due - answer[2])
            await box.advance(int(pauses[-1]) + 1)
    assert len(tries) == 10
    expected = [min(AGAIN_MS * 2**n, closing.LONGEST_MS) for n in range(10)]
    assert pauses[-1] > 3_000_000
    for pause, most in zip(pauses, expected, strict=True):
        assert most / 2 < pause <= most
    await box.sale.expiry.run_once()  # what failed was not forgotten
    assert (await document(box, order)).state == "cancelled"
    assert await due_at(box, order) is None


async def test_a_failure_is_counted_by_its_cause(box: Box) -> None:
    def failed(cause: str) -> float:
        (metric,) = metrics.FAILED.collect()
        values: list[float] = [
            sample.value
            for sample in metric.samples
            if sample.labels.get("cause") == cause and sample.name.endswith("_total")
        ]
        return sum(values)

    checkout = await box.pending(new_id())
    await box.advance(LATE_MS)
    before = failed("unavailable"), failed("refused")
    box.stripe.fail(Fault(mode="unavailable", count=1_000))
    await box.sale.expiry.run_once()
    box.stripe.faults.clear()
    box.stripe.fail(Fault(mode="refuse", count=1, code="resource_missing", status=404))
    await box.advance(AGAIN_MS + 1)
    await box.sale.expiry.run_once()
    assert (failed("unavailable"), failed("refused")) == (before[0] + 1, before[1] + 1)
    assert (await document(box, checkout.order.id)).state == "cancelling"


async def test_money_that_may_still_come_is_asked_for_ever_more_seldom(box: Box) -> None:
    """A bank debit takes days: its order keeps its seats, and the provider its peace."""
    buyer = new_id()
    checkout = await box.pending(buyer)
    await box.pay(checkout, "pm_usBankAccount_success")
    await box.advance(LATE_MS)
    for _ in range(3):
        await box.sale.expiry.run_once()
        await box.advance(AGAIN_MS * 8)
    found = await document(box, checkout.order.id)
    assert found.state == "cancelling"
    assert found.payment is not None
    assert found.payment.attempts == 3
    box.stripe.controls.settle()
    await box.until_state(buyer, checkout.order.id, "confirmed")
