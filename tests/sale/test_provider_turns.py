"""However often a buyer asks, the provider is asked seldom, and what is known is answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from devkit.stripe import StripeLookalike
from devkit.stripe.faults import Fault
from devkit.stripe.webhooks import Behaviour
from engine.core.ids import new_id
from engine.core.settings import Settings
from engine.payments.errors import PaymentUnavailableError
from engine.platform.valkey import keys
from engine.platform.valkey.connections import connect
from engine.sale.errors import OrderUnknownError, SoldOutError
from engine.sale.holds.service import Holds
from engine.sale.service import Sale
from tests.sale.conftest import SHARD, Box

ORDER_TURNS = 3  # at once, then one a second
BUYER_TURNS = 20


@pytest.fixture
async def second(valkey_url: str, box: Box) -> AsyncIterator[Box]:
    """Another process of the same sale."""
    client = connect(f"{valkey_url}/0")
    sale = Sale(Settings(redis_url=f"{valkey_url}/0"), client, box.sale._provider)
    await sale.start()
    yield Box(sale, client, box.snapshot, box.stripe)
    await sale.stop()
    await client.aclose()


def calls(stripe: StripeLookalike) -> int:
    return stripe.calls.total()


async def seconds_of(client: Redis) -> float:
    now, micros = await client.time()
    return float(now + micros / 1e6)


async def test_settling_again_and_again_asks_a_few_times_across_processes(
    box: Box, second: Box
) -> None:
    buyer = new_id()
    checkout = await box.pending(buyer)
    order = checkout.order.id
    before, began = calls(box.stripe), await seconds_of(box.client)
    for _ in range(100):
        for process in (box, second):
            view = await process.sale.orders.settle(buyer, box.occurrence, order)
            assert view.state == "pending"
    elapsed = await seconds_of(box.client) - began
    assert 1 <= calls(box.stripe) - before <= ORDER_TURNS + elapsed


async def test_settling_at_once_is_one_call(box: Box) -> None:
    buyer = new_id()
    checkout = await box.pending(buyer)
    before = calls(box.stripe)
    views = await asyncio.gather(
        *[box.sale.orders.settle(buyer, box.occurrence, checkout.order.id) for _ in range(200)]
    )
    assert {view.state for view in views} == {"pending"}
    assert calls(box.stripe) - before == 1


async def test_who_has_paid_sees_it_although_they_asked_too_often(box: Box) -> None:
    box.stripe.deliver(Behaviour(paused=True))
    buyer = new_id()
    checkout = await box.pending(buyer)
    for _ in range(20):
        await box.sale.orders.settle(buyer, box.occurrence, checkout.order.id)
    await box.pay(checkout)

    async def confirmed() -> bool:
        view = await box.sale.orders.settle(buyer, box.occurrence, checkout.order.id)
        return view.state == "confirmed"

    await box.until(confirmed)


async def test_a_repeated_checkout_is_answered_from_the_order(box: Box, second: Box) -> None:
    buyer = new_id()
    hold = await box.hold(buyer)
    first = await box.checkout(buyer, hold.id)
    before = calls(box.stripe)
    for process in (box, second) * 20:
        again = await process.checkout(buyer, hold.id)
        assert again.payment == first.payment
        assert again.payment is not None
        assert again.payment.client_secret
    assert calls(box.stripe) == before
    await box.pay(first)
    await box.until_state(buyer, first.order.id, "confirmed")
    assert (await second.checkout(buyer, hold.id)).payment is None


async def test_a_checkout_that_fails_is_asked_for_a_few_times(box: Box, second: Box) -> None:
    buyer = new_id()
    hold = await box.hold(buyer)
    box.stripe.fail(Fault(mode="refuse", status=403, count=1_000))  # not repeated by the library
    before, began = calls(box.stripe), await seconds_of(box.client)
    for _ in range(3):
        asked = [process.checkout(buyer, hold.id) for process in (box, second) * 25]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert {type(answer) for answer in answers} == {PaymentUnavailableError}
    elapsed = await seconds_of(box.client) - began
    assert 1 <= calls(box.stripe) - before <= ORDER_TURNS + elapsed
    box.stripe.faults.clear()
    assert (await box.checkout(buyer, hold.id)).payment is not None


async def test_two_processes_make_one_payment_at_the_same_time(box: Box, second: Box) -> None:
    buyer = new_id()
    hold = await box.hold(buyer)
    box.stripe.fail(Fault(mode="delay", delay_s=0.2, count=4))
    first, other = await asyncio.gather(
        box.checkout(buyer, hold.id), second.checkout(buyer, hold.id)
    )
    assert first.payment is not None
    assert first.payment == other.payment
    assert len(box.stripe.state.intents) == 1


async def test_orders_made_and_cancelled_again_and_again_share_the_buyers_turns(box: Box) -> None:
    """What a buyer has no turn for is cancelled all the same, by the worker."""
    sale, buyer = box.sale, new_id()
    # the pause before a further hold has tests of its own
    sale.holds = Holds(sale.commands, sale.known, sale.backlog, Settings(hold_pause_s=0))
    began = await seconds_of(box.client)
    states = []
    for _ in range(BUYER_TURNS):
        try:
            checkout = await box.pending(buyer)
        except (PaymentUnavailableError, SoldOutError):
            break  # no turn to make another, or what is being cancelled has all the seats
        order = await box.sale.orders.cancel(buyer, box.occurrence, checkout.order.id)
        states.append(order.state)
        again = await box.sale.orders.cancel(buyer, box.occurrence, checkout.order.id)
        assert again.state in {"cancelled", "cancelling"}
    elapsed = await seconds_of(box.client) - began
    asked = box.stripe.calls["POST /v1/payment_intents"] + states.count("cancelled")
    assert asked <= BUYER_TURNS + elapsed + 1
    assert "cancelling" in states
    await box.advance(60_000)
    await box.sale.expiry.run_once()
    assert all(intent.status == "canceled" for intent in box.stripe.state.intents)


async def test_strangers_have_no_turns(box: Box) -> None:
    checkout = await box.pending(new_id())
    before = calls(box.stripe)
    for command in (box.sale.orders.settle, box.sale.orders.cancel):
        with pytest.raises(OrderUnknownError):
            await command(new_id(), box.occurrence, checkout.order.id)
    assert calls(box.stripe) == before


async def test_what_an_order_is_paid_with_is_in_no_record(box: Box) -> None:
    buyer = new_id()
    checkout = await box.pending(buyer)
    assert checkout.payment is not None
    secret = checkout.payment.client_secret.encode()
    name = f"{box.place}:o:{checkout.order.id}"

    async def kept() -> bool:
        packed: Any = await box.client.get(name)
        return secret in packed

    assert await kept()
    await box.pay(checkout)
    await box.until_state(buyer, checkout.order.id, "confirmed")
    assert not await kept()
    entries: Any = await box.client.xrange(keys.stream(SHARD))
    assert len(entries) == 2
    assert all(secret not in value for _, fields in entries for value in fields.values())
