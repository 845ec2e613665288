"""Money that is not what the order waited for buys nothing, goes back, and the order ends.

Each is a table of what happened at the provider, how the order stood, and who
told of it first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from devkit.stripe.faults import Fault
from devkit.stripe.webhooks import Behaviour
from engine.core.ids import new_id
from engine.sale.requests import LineRequest
from engine.sale.views import CheckoutView
from tests.sale.conftest import Box, intent_of
from tests.sale.money_proof import SEATS, assert_money_is_somewhere, come_to_rest, free_again

LATE_MS = 600_001


async def stand(box: Box, state: str, buyer: str) -> CheckoutView:
    """An order that is pending, cancelling (the worker died), or cancelled behind the provider."""
    checkout = await box.pending(buyer, SEATS)
    if state != "pending":
        await box.sale.commands.cancel(box.place, checkout.order.id, "expired", 30_000)
    if state == "cancelled":
        await box.sale.commands.release_order(box.place, checkout.order.id, intent_of(checkout))
    return checkout


async def by_webhook(box: Box, buyer: str, order: str) -> None:
    box.stripe.deliver(Behaviour(shuffle=True, duplicates=2))
    await box.until_settled()


async def by_client(box: Box, buyer: str, order: str) -> None:
    await box.sale.orders.settle(buyer, box.occurrence, order)


async def by_sweep(box: Box, buyer: str, order: str) -> None:
    await box.advance(LATE_MS)
    await box.sale.expiry.run_once()


async def by_list(box: Box, buyer: str, order: str) -> None:
    await box.sale.money.catch_up()


Teller = Callable[[Box, str, str], Awaitable[None]]
TELLERS: dict[str, Teller] = {
    "webhook": by_webhook, "client": by_client, "sweep": by_sweep, "list": by_list,
}  # fmt: skip


@pytest.mark.parametrize("teller", TELLERS)
@pytest.mark.parametrize("state", ["pending", "cancelling", "cancelled"])
@pytest.mark.parametrize(
    ("back", "status", "then"),
    [
        (None, "succeeded", ("refunded", "done")),
        (None, "pending", ("cancelled", "pending")),
        (None, "requires_action", ("cancelled", "pending")),
        (1, "succeeded", ("refunded", "done")),  # we give the rest back
        (1, "pending", ("cancelled", "pending")),
        (None, "failed", ("confirmed", "")),  # all of it is here
        (1, "canceled", ("confirmed", "")),
    ],
)
async def test_money_that_went_back_before_it_was_seen_buys_nothing(
    box: Box, state: str, teller: str, back: int | None, status: Any, then: tuple[str, str]
) -> None:
    if (state, teller) in {("cancelled", "client"), ("cancelled", "sweep")}:
        teller = "webhook"  # nobody asks about a cancelled order but for a message
    box.stripe.deliver(Behaviour(paused=True))
    buyer = new_id()
    checkout = await stand(box, state, buyer)
    order = checkout.order.id
    box.stripe.money.capture(intent_of(checkout))
    box.stripe.money.refund(intent_of(checkout), back, status)
    await TELLERS[teller](box, buyer, order)
    after = await box.order(buyer, order)
    assert (after.state, after.refund_state) == then
    assert await free_again(box) == (after.state != "confirmed")
    if after.state != "confirmed":
        assert after.tickets == []
        assert after.refund_due == 0
    box.stripe.deliver(Behaviour(duplicates=1))
    if status == "requires_action":
        box.stripe.money.end_refund("succeeded", intent=intent_of(checkout))
    await come_to_rest(box)
    again = await box.order(buyer, order)
    assert again.state == ("confirmed" if then[0] == "confirmed" else "refunded")
    await assert_money_is_somewhere(box)


WRONG: dict[str, dict[str, Any]] = {
    "less": {"amount": -1},
    "more": {"amount": 1},
    "currency": {"currency": "usd"},
}


@pytest.mark.parametrize("refund", ["made", "away", "failed", "pending"])
@pytest.mark.parametrize("teller", ["webhook", "client", "sweep"])
@pytest.mark.parametrize("state", ["pending", "cancelling", "cancelled"])
@pytest.mark.parametrize("wrong", WRONG)
async def test_other_money_than_was_waited_for_goes_back_and_the_order_ends(
    box: Box, wrong: str, state: str, teller: str, refund: str
) -> None:
    if state == "cancelled":
        teller = "webhook"
    box.stripe.deliver(Behaviour(paused=True))
    buyer = new_id()
    checkout = await stand(box, state, buyer)
    changes = dict(WRONG[wrong])
    if "amount" in changes:
        changes["amount"] += checkout.order.total
    box.stripe.money.capture(intent_of(checkout), **changes)
    if refund == "away":
        box.stripe.fail(Fault(mode="unavailable", count=1_000, path="refunds", method="POST"))
    elif refund != "made":
        box.stripe.money.next_refunds(refund, 1)  # type: ignore[arg-type]
    await TELLERS[teller](box, buyer, checkout.order.id)
    after = await box.order(buyer, checkout.order.id)
    assert after.state in {"cancelled", "refunded"}
    assert await free_again(box)
    money = (await box.stored(checkout.order.id)).payment
    assert money
    states = {item.refund_state for item in money.everything}
    expected = {"made": "done", "away": "owed", "failed": "owed", "pending": "pending"}[refund]
    assert expected in states
    box.stripe.faults.clear()
    box.stripe.deliver(Behaviour())
    await come_to_rest(box)
    assert sum(charge.amount_refunded for charge in box.stripe.state.charges) >= sum(
        charge.amount_captured for charge in box.stripe.state.charges
    )
    await assert_money_is_somewhere(box)


@pytest.mark.parametrize("refund", ["made", "away"])
@pytest.mark.parametrize("state", ["pending", "cancelling", "cancelled", "confirmed", "free"])
async def test_the_money_of_another_intent_goes_back(box: Box, state: str, refund: str) -> None:
    buyer = new_id()
    if state == "confirmed":
        checkout = await box.confirmed(buyer, SEATS)
    elif state == "free":
        checkout = await box.pending(buyer, LineRequest(ticket_type="standing-reduced", quantity=2))
    else:
        checkout = await stand(box, state, buyer)
    order = checkout.order.id
    if refund == "away":
        box.stripe.fail(Fault(mode="unavailable", count=1_000, path="refunds", method="POST"))
    stray = await box.stray_intent(order, 7_777)
    box.stripe.money.capture(stray)
    await box.until_settled()
    stored = await box.stored(order)
    assert stored.payment
    (other,) = stored.payment.others
    assert (other.intent, other.captured, other.refund) == (stray, 7_777, 7_777)
    assert other.refund_state == ("done" if refund == "made" else "owed")
    await box.advance(31_000)
    await box.sale.expiry.run_once()
    after = await box.order(buyer, order)
    kept = state in {"confirmed", "free"}
    assert after.state == ("confirmed" if kept else "cancelled")
    if state == "pending":
        assert after.cancel_reason == "wrong_payment"
    if checkout.payment and not kept and state != "cancelled":
        assert box.stripe.state.intents.get(intent_of(checkout)).status == "canceled"
    box.stripe.faults.clear()
    await come_to_rest(box)
    assert (await box.order(buyer, order)).state == after.state
    await assert_money_is_somewhere(box)


async def test_two_intents_of_one_order_that_are_both_paid_are_paid_once(box: Box) -> None:
    buyer = new_id()
    checkout = await box.pending(buyer, SEATS)
    stray = await box.stray_intent(checkout.order.id, checkout.order.total)
    box.stripe.deliver(Behaviour(paused=True))
    box.stripe.money.capture(intent_of(checkout))
    box.stripe.money.capture(stray)
    box.stripe.deliver(Behaviour(shuffle=True, duplicates=3))
    await come_to_rest(box)
    after = await box.order(buyer, checkout.order.id)
    assert (after.state, after.captured, after.refunded) == (
        "confirmed", 2 * after.total, after.total
    )  # fmt: skip
    await assert_money_is_somewhere(box)


async def test_an_old_answer_of_the_provider_never_overwrites_a_newer_one(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between our question and our note everything goes back: the note is made anew."""
    buyer = new_id()
    checkout = await box.pending(buyer, SEATS)
    box.stripe.deliver_to(None)
    box.stripe.money.capture(intent_of(checkout))
    confirm = box.sale.commands.confirm
    between = [True]

    async def slow(*arguments: Any, **named: Any) -> Any:
        if between:
            between.pop()
            box.stripe.money.refund(intent_of(checkout))
            await box.sale.settlement.refunds.look(
                await box.sale.published(box.occurrence), checkout.order.id, intent_of(checkout)
            )
        return await confirm(*arguments, **named)

    monkeypatch.setattr(box.sale.commands, "confirm", slow)
    await box.sale.orders.settle(buyer, box.occurrence, checkout.order.id)
    after = await box.order(buyer, checkout.order.id)
    assert (after.state, after.refund_state) == ("refunded", "done")
    assert after.version == 2
    assert len(box.stripe.state.refunds) == 1
