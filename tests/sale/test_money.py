"""Captured money ends as tickets or as a refund, whatever the provider, the network and time do."""

from __future__ import annotations

import asyncio

import pytest

from devkit.stripe.faults import Fault
from devkit.stripe.webhooks import Behaviour
from engine.core.ids import new_id
from engine.payments.errors import PaymentUnavailableError, WebhookRejectedError
from engine.platform.http.errors import IdempotencyMismatchError
from engine.platform.valkey.errors import StoreUnavailableError
from engine.sale.errors import OrderStateError
from engine.sale.requests import LineRequest
from tests.sale.conftest import Box, idempotency

LATE_MS = 600_001
AGAIN_MS = 30_001


def captured(box: Box) -> int:
    return sum(charge.amount_captured for charge in box.stripe.state.charges)


def refunded(box: Box) -> int:
    return sum(refund.amount for refund in box.stripe.state.refunds)


async def test_a_paid_order_is_confirmed_by_the_webhook(box: Box) -> None:
    buyer = new_id()
    checkout = await box.pending(buyer)
    assert checkout.order.state == "pending"
    await box.pay(checkout)
    order = await box.until_state(buyer, checkout.order.id, "confirmed")
    assert order.captured == order.total
    assert [ticket.number[:4] for ticket in order.tickets] == ["TKT-"] * 2
    assert all(ticket.seat for ticket in order.tickets)


async def test_the_total_has_all_its_parts(box: Box) -> None:
    checkout = await box.pending(new_id())
    order = checkout.order
    # two early tickets at 30.00, 0.50 each, 7 % tax, 1.4 % + 0.25 of all that for the payment
    assert (order.subtotal, order.platform_fee, order.tax) == (6000, 100, 420)
    assert order.payment_fee == 116
    assert order.total == 6000 + 100 + 420 + 116
    assert checkout.payment is not None
    assert checkout.payment.amount == order.total


async def test_a_free_order_needs_no_provider(box: Box) -> None:
    box.stripe.fail(Fault(mode="unavailable", count=100))
    checkout = await box.pending(new_id(), LineRequest(ticket_type="standing-reduced", quantity=2))
    assert (checkout.order.state, checkout.payment) == ("confirmed", None)


async def test_two_checkouts_are_one_order_and_one_intent(box: Box) -> None:
    buyer = new_id()
    hold = await box.hold(buyer)
    first, second = await asyncio.gather(box.checkout(buyer, hold.id), box.checkout(buyer, hold.id))
    assert first.order.id == second.order.id
    assert first.payment is not None
    assert first.payment == second.payment
    assert len(box.stripe.state.intents) == 1


async def test_the_same_key_with_another_body_is_refused(box: Box) -> None:
    buyer, key = new_id(), idempotency()
    hold = await box.hold(buyer)
    first = await box.checkout(buyer, hold.id, key)
    again = await box.checkout(buyer, hold.id, key)
    assert first.order.id == again.order.id
    other = idempotency(b"o" * 16)
    with pytest.raises(IdempotencyMismatchError):
        await box.checkout(
            buyer, hold.id, type(key)(key_digest=key.key_digest, body_digest=other.body_digest)
        )


async def test_paying_twice_charges_once(box: Box) -> None:
    buyer = new_id()
    checkout = await box.pending(buyer)
    await box.pay(checkout)
    await box.pay(checkout, status=400)
    order = await box.until_state(buyer, checkout.order.id, "confirmed")
    assert captured(box) == order.total


async def test_a_declined_buyer_pays_with_another_card(box: Box) -> None:
    buyer = new_id()
    checkout = await box.pending(buyer)
    await box.pay(checkout, "pm_card_chargeDeclined", status=402)
    assert (await box.order(buyer, checkout.order.id)).state == "pending"
    await box.pay(checkout, "pm_card_mastercard")
    await box.until_state(buyer, checkout.order.id, "confirmed")


async def test_three_d_secure_waits_for_the_buyer(box: Box) -> None:
    buyer = new_id()
    checkout = await box.pending(buyer)
    answer = await box.pay(checkout, "pm_card_threeDSecure2Required")
    assert answer["status"] == "requires_action"
    await box.advance(LATE_MS)
    await box.sale.expiry.run_once()
    assert (await box.order(buyer, checkout.order.id)).state == "cancelled"


async def test_webhooks_may_be_doubled_shuffled_and_late(box: Box) -> None:
    box.stripe.deliver(Behaviour(shuffle=True, duplicates=3, delay_s=0.05))
    buyers = [new_id() for _ in range(4)]
    checkouts = [
        await box.pending(buyer, LineRequest(ticket_type="stalls", quantity=1)) for buyer in buyers
    ]
    for checkout in checkouts:
        await box.pay(checkout, "pm_card_chargeDeclined", status=402)
        await box.pay(checkout)
    for buyer, checkout in zip(buyers, checkouts, strict=True):
        order = await box.until_state(buyer, checkout.order.id, "confirmed")
        assert order.version == 2
    assert refunded(box) == 0


async def test_a_forged_webhook_changes_nothing(box: Box) -> None:
    with pytest.raises(WebhookRejectedError):
        await box.sale.handle_webhook(b'{"type":"payment_intent.succeeded"}', "t=1,v1=00")


async def test_a_client_that_says_it_has_paid_is_believed_only_by_the_provider(box: Box) -> None:
    box.stripe.deliver(Behaviour(paused=True))
    buyer = new_id()
    checkout = await box.pending(buyer)
    order = checkout.order.id
    assert (await box.sale.orders.settle(buyer, box.occurrence, order)).state == "pending"
    await box.pay(checkout)
    assert (await box.sale.orders.settle(buyer, box.occurrence, order)).state == "confirmed"


async def test_a_pending_order_that_runs_out_is_cancelled_at_the_provider_first(box: Box) -> None:
    buyer = new_id()
    checkout = await box.pending(buyer)
    await box.advance(LATE_MS)
    await box.sale.expiry.run_once()
    order = await box.order(buyer, checkout.order.id)
    assert (order.state, order.cancel_reason) == ("cancelled", "expired")
    assert checkout.payment is not None
    assert box.stripe.state.intents.get(checkout.payment.intent).status == "canceled"
    await box.pay(checkout, status=400)  # the money cannot come any more


async def test_an_order_that_was_paid_but_not_told_is_confirmed_when_it_runs_out(box: Box) -> None:
    box.stripe.deliver(Behaviour(paused=True))
    buyer = new_id()
    checkout = await box.pending(buyer)
    await box.pay(checkout)
    await box.advance(LATE_MS)
    await box.sale.expiry.run_once()
    assert (await box.order(buyer, checkout.order.id)).state == "confirmed"


@pytest.mark.parametrize("mode", ["error", "unavailable", "hang", "drop"])
async def test_with_the_provider_down_seats_stay_and_are_released_later(
    box: Box, mode: str
) -> None:
    buyer = new_id()
    checkout = await box.pending(buyer)
    await box.advance(LATE_MS)
    fault = Fault(mode=mode, count=1_000, path="payment_intents")  # type: ignore[arg-type]
    box.stripe.fail(fault)
    await box.sale.expiry.run_once()
    assert (await box.order(buyer, checkout.order.id)).state == "cancelling"
    box.stripe.faults.clear()
    await box.advance(AGAIN_MS)
    await box.sale.expiry.run_once()
    assert (await box.order(buyer, checkout.order.id)).state == "cancelled"


async def test_a_checkout_that_met_a_dead_provider_goes_on_where_it_was(box: Box) -> None:
    buyer, key = new_id(), idempotency()
    hold = await box.hold(buyer)
    box.stripe.fail(Fault(mode="drop", count=20, method="POST"))
    with pytest.raises(PaymentUnavailableError):
        await box.checkout(buyer, hold.id, key)
    box.stripe.faults.clear()
    checkout = await box.checkout(buyer, hold.id, key)
    assert len(box.stripe.state.intents) == 1
    await box.pay(checkout)
    await box.until_state(buyer, checkout.order.id, "confirmed")


async def test_an_intent_that_was_never_noted_is_found_and_cancelled(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process died between the provider's answer and the note of it."""

    async def dies(*_: str) -> list[object]:
        raise StoreUnavailableError

    buyer = new_id()
    hold = await box.hold(buyer)
    with monkeypatch.context() as patch:
        patch.setattr(box.sale.commands, "attach", dies)
        with pytest.raises(StoreUnavailableError):
            await box.checkout(buyer, hold.id)
    await box.advance(LATE_MS)
    await box.sale.expiry.run_once()
    (intent,) = box.stripe.state.intents
    assert intent.status == "canceled"


async def test_the_answer_that_was_lost_on_the_way_creates_no_second_intent(box: Box) -> None:
    box.stripe.fail(Fault(mode="drop", when="after", count=1, method="POST"))
    buyer = new_id()
    checkout = await box.pending(buyer)
    assert len(box.stripe.state.intents) == 1
    await box.pay(checkout)
    await box.until_state(buyer, checkout.order.id, "confirmed")


async def test_a_late_capture_is_refunded_when_its_seats_are_sold(box: Box) -> None:
    """Money that comes after the seats have gone (a capture behind our back) is given back."""
    buyer = new_id()
    lines = LineRequest(ticket_type="stalls", seats=["A-1-1"])
    checkout = await box.pending(buyer, lines)
    assert checkout.payment is not None
    # the seats are released without the provider: what must never happen, happens
    place, order = box.place, checkout.order.id
    await box.sale.commands.cancel(place, order, "expired", 30_000)
    await box.sale.commands.release_order(place, order, checkout.payment.intent)
    await box.hold(new_id(), lines)
    await box.pay(checkout)
    after = await box.until_state(buyer, order, "refunded")
    assert after.refunded == after.captured == after.total
    assert refunded(box) == captured(box)


async def test_a_late_capture_is_honoured_when_its_seats_are_free(box: Box) -> None:
    buyer = new_id()
    checkout = await box.pending(buyer)
    assert checkout.payment is not None
    place, order = box.place, checkout.order.id
    await box.sale.commands.cancel(place, order, "expired", 30_000)
    await box.sale.commands.release_order(place, order, checkout.payment.intent)
    await box.pay(checkout)
    await box.until_state(buyer, order, "confirmed")
    assert refunded(box) == 0


async def test_a_refund_that_the_provider_cannot_make_now_is_made_later(box: Box) -> None:
    buyer = new_id()
    checkout = await box.pending(buyer)
    await box.pay(checkout)
    await box.until_state(buyer, checkout.order.id, "confirmed")
    box.stripe.fail(Fault(mode="unavailable", count=1_000, path="refunds"))
    order = await box.sale.orders.give_back(box.occurrence, checkout.order.id, "asked")
    assert (order.state, refunded(box)) == ("refunded", 0)
    box.stripe.faults.clear()
    await box.money_round()
    view = await box.order(buyer, checkout.order.id)
    assert (view.refund_due, view.refunded) == (0, view.total)
    assert refunded(box) == view.total


async def test_giving_back_twice_gives_back_once(box: Box) -> None:
    buyer = new_id()
    checkout = await box.pending(buyer)
    await box.pay(checkout)
    await box.until_state(buyer, checkout.order.id, "confirmed")
    for _ in range(2):
        await box.sale.orders.give_back(box.occurrence, checkout.order.id, "asked")
    assert refunded(box) == captured(box)


async def test_a_buyer_cancels_a_pending_order_and_no_other(box: Box) -> None:
    buyer = new_id()
    checkout = await box.pending(buyer)
    for _ in range(2):
        order = await box.sale.orders.cancel(buyer, box.occurrence, checkout.order.id)
        assert (order.state, order.cancel_reason) == ("cancelled", "buyer")
    second = await box.pending(buyer)
    await box.pay(second)
    await box.until_state(buyer, second.order.id, "confirmed")
    with pytest.raises(OrderStateError):
        await box.sale.orders.cancel(buyer, box.occurrence, second.order.id)


async def test_a_webhook_that_cannot_be_recorded_is_repeated(box: Box) -> None:
    """Answered with an error while Redis does not know the order: the provider comes again."""
    buyer = new_id()
    checkout = await box.pending(buyer)
    name = f"{box.place}:o:{checkout.order.id}"
    order = await box.client.get(name)
    assert isinstance(order, bytes)
    await box.client.delete(name)
    await box.pay(checkout)

    async def failed() -> bool:
        return len(box.webhook_failures) > 0

    await box.until(failed)
    await box.client.set(name, order)
    await box.until_state(buyer, checkout.order.id, "confirmed")
