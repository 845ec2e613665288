"""What goes back of a confirmed order, by us or at the provider, is followed until it is there."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import REGISTRY

from devkit.stripe.faults import Fault
from engine.core.ids import new_id
from engine.payments.errors import PaymentRefusedError
from engine.sale.errors import OrderStateError
from tests.sale.conftest import Box, intent_of
from tests.sale.money_proof import SEATS, assert_money_is_somewhere, come_to_rest, free_again


@pytest.mark.parametrize("status", ["succeeded", "pending"])
async def test_a_whole_refund_at_the_provider_ends_the_tickets(box: Box, status: Any) -> None:
    buyer = new_id()
    checkout = await box.confirmed(buyer, SEATS)
    box.stripe.money.refund(intent_of(checkout), None, status)
    after = await box.until_state(buyer, checkout.order.id, "refunded")
    assert after.tickets == []
    assert after.refund_state == ("done" if status == "succeeded" else "pending")
    assert await free_again(box)
    assert len(box.stripe.state.refunds) == 1
    await come_to_rest(box)
    await assert_money_is_somewhere(box)


async def test_parts_that_the_provider_gives_back_end_the_tickets_with_the_last(box: Box) -> None:
    buyer = new_id()
    checkout = await box.confirmed(buyer, SEATS)
    for part in (1_000, 500):
        box.stripe.money.refund(intent_of(checkout), part)
        await box.until_settled()
    after = await box.order(buyer, checkout.order.id)
    assert (after.state, after.refunded, after.refund_due) == ("confirmed", 1_500, 0)
    assert len(after.tickets) == 2
    box.stripe.money.refund(intent_of(checkout))
    await box.until_state(buyer, checkout.order.id, "refunded")
    await come_to_rest(box)
    await assert_money_is_somewhere(box)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("part", [1, 1_000, None])
async def test_our_own_refund_asks_only_for_what_is_left(
    box: Box, part: int | None, known: bool
) -> None:
    """Whether or not the message about what the provider gave back came before."""
    buyer = new_id()
    checkout = await box.confirmed(buyer, SEATS)
    total = checkout.order.total
    if not known:
        box.stripe.deliver_to(None)
    box.stripe.money.refund(intent_of(checkout), part)
    await box.until_settled()
    order = await box.sale.orders.give_back(box.occurrence, checkout.order.id, "asked")
    assert order.state == "refunded"
    assert order.payment
    assert (order.payment.refund_state, order.payment.refunded) == ("done", total)
    amounts = [refund.amount for refund in box.stripe.state.refunds]
    assert amounts == ([total] if part is None else [part, total - part])
    await assert_money_is_somewhere(box)


async def test_what_was_given_back_between_look_and_refund_is_not_asked_for(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refund is refused; that is no outage, and what is left is asked for."""
    buyer = new_id()
    checkout = await box.confirmed(buyer, SEATS)
    box.stripe.deliver_to(None)
    ask = box.sale.settlement.refunds._provider.refund
    between = [1_000]

    async def meanwhile(**named: Any) -> Any:
        if between:
            box.stripe.money.refund(intent_of(checkout), between.pop())
        return await ask(**named)

    monkeypatch.setattr(box.sale.settlement.refunds._provider, "refund", meanwhile)
    order = await box.sale.orders.give_back(box.occurrence, checkout.order.id, "asked")
    assert order.payment
    assert order.payment.tries == 0
    await box.money_round()
    stored = (await box.stored(checkout.order.id)).payment
    assert stored
    assert (stored.refund_state, stored.refunded) == ("done", checkout.order.total)
    await assert_money_is_somewhere(box)


@pytest.mark.parametrize("status", ["failed", "canceled"])
@pytest.mark.parametrize("when", ["at once", "later", "after pending"])
async def test_a_refund_that_comes_to_nothing_is_owed_again_and_made_again(
    box: Box, status: Any, when: str
) -> None:
    buyer = new_id()
    checkout = await box.confirmed(buyer, SEATS)
    order, total = checkout.order.id, checkout.order.total
    if when != "later":
        box.stripe.money.next_refunds(status if when == "at once" else "pending", 1)
    await box.sale.orders.give_back(box.occurrence, order, "asked")
    if when != "at once":
        await box.until_settled()
        before = await box.order(buyer, order)
        assert before.refund_state == ("done" if when == "later" else "pending")
        box.stripe.money.end_refund(status, intent=intent_of(checkout))
    await box.until_settled()
    after = await box.order(buyer, order)
    assert (after.state, after.refund_state, after.refund_due) == ("refunded", "owed", total)
    stored = (await box.stored(order)).payment
    assert stored
    assert (stored.tries, bool(stored.failure)) == (1, True)
    await come_to_rest(box)
    done = await box.order(buyer, order)
    assert (done.refund_state, done.refund_due, done.refunded) == ("done", 0, total)
    await assert_money_is_somewhere(box)


@pytest.mark.parametrize("status", ["pending", "requires_action"])
async def test_a_refund_on_its_way_is_followed_without_any_message(box: Box, status: Any) -> None:
    buyer = new_id()
    checkout = await box.confirmed(buyer, SEATS)
    box.stripe.deliver_to(None)
    box.stripe.money.next_refunds(status, 1)
    await box.sale.orders.give_back(box.occurrence, checkout.order.id, "asked")
    view = await box.order(buyer, checkout.order.id)
    assert (view.refund_state, view.refunding) == ("pending", view.total)
    box.stripe.money.end_refund("succeeded", intent=intent_of(checkout))
    await box.money_round()
    assert (await box.order(buyer, checkout.order.id)).refund_state == "done"


async def test_a_refund_that_fails_again_and_again_is_raised_to_a_person(
    box: Box, caplog: pytest.LogCaptureFixture
) -> None:
    buyer = new_id()
    checkout = await box.confirmed(buyer, SEATS)
    order = checkout.order.id
    box.stripe.deliver_to(None)  # its messages would look in between, and count nothing
    box.stripe.money.next_refunds("failed", 1_000)
    await box.sale.orders.give_back(box.occurrence, order, "asked")
    waits: list[float] = []
    for _ in range(4):
        waits.append(await box.next_look(order))
        await box.money_round()
    assert waits == sorted(waits)
    assert waits[-1] > 10 * waits[0]
    await box.until_settled()
    assert (await box.order(buyer, order)).refund_state == "failed"
    assert "a person must look" in caplog.text
    assert REGISTRY.get_sample_value("onsale_money_raised_orders") == 0  # as of the round before
    await box.money_round()
    assert REGISTRY.get_sample_value("onsale_money_raised_orders") == 1
    asked = len(box.stripe.state.refunds)
    for _ in range(3):
        await box.money_round()
    assert len(box.stripe.state.refunds) == asked == 5  # never for ever
    published = await box.sale.published(box.occurrence)
    assert [found.id async for found in box.sale.money.followed(published)] == [order]
    box.stripe.money.next_refunds("succeeded", 0)
    await box.sale.orders.refund_by_hand(box.occurrence, order, "again")
    assert (await box.order(buyer, order)).refund_state == "done"
    assert [found.id async for found in box.sale.money.followed(published)] == []
    with pytest.raises(OrderStateError):
        await box.sale.orders.refund_by_hand(box.occurrence, order, "again")
    await assert_money_is_somewhere(box)


async def test_trying_again_by_hand_tries_as_often_as_before(box: Box) -> None:
    buyer = new_id()
    checkout = await box.confirmed(buyer, SEATS)
    box.stripe.money.next_refunds("failed", 1_000)
    await box.sale.orders.give_back(box.occurrence, checkout.order.id, "asked")
    for _ in range(8):
        await box.money_round()
    await box.sale.orders.refund_by_hand(box.occurrence, checkout.order.id, "again")
    assert (await box.order(buyer, checkout.order.id)).refund_state == "owed"
    for _ in range(8):
        await box.money_round()
    assert (await box.order(buyer, checkout.order.id)).refund_state == "failed"
    assert len(box.stripe.state.refunds) == 10
    elsewhere = await box.sale.orders.refund_by_hand(
        box.occurrence, checkout.order.id, "elsewhere", "bank transfer 4711"
    )
    assert elsewhere.payment
    assert (elsewhere.payment.refund_state, elsewhere.payment.owed) == ("done", 0)
    view = await box.order(buyer, checkout.order.id)
    assert (view.refunded, view.refund_due) == (view.total, 0)


async def test_a_refund_that_the_provider_refuses_is_counted_and_raised(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    buyer = new_id()
    checkout = await box.confirmed(buyer, SEATS)

    async def refuses(**named: Any) -> Any:
        raise PaymentRefusedError(provider_code="insufficient_funds")

    with monkeypatch.context() as patch:
        patch.setattr(box.sale.settlement.refunds._provider, "refund", refuses)
        await box.sale.orders.give_back(box.occurrence, checkout.order.id, "asked")
        for _ in range(6):
            await box.money_round()
    stored = (await box.stored(checkout.order.id)).payment
    assert stored
    assert (stored.refund_state, stored.tries, stored.failure) == (
        "failed", 5, "insufficient_funds"
    )  # fmt: skip


async def test_an_outage_is_no_try(box: Box) -> None:
    buyer = new_id()
    checkout = await box.confirmed(buyer, SEATS)
    box.stripe.fail(Fault(mode="unavailable", count=10_000, path="refunds"))
    await box.sale.orders.give_back(box.occurrence, checkout.order.id, "asked")
    for _ in range(7):
        await box.money_round()
    assert (await box.order(buyer, checkout.order.id)).refund_state == "owed"
    box.stripe.faults.clear()
    await box.money_round()
    assert (await box.order(buyer, checkout.order.id)).refund_state == "done"


async def test_money_goes_back_while_the_sale_is_paused(box: Box) -> None:
    buyer = new_id()
    checkout = await box.confirmed(buyer, SEATS)
    box.stripe.fail(Fault(mode="unavailable", count=10_000, path="refunds"))
    await box.sale.orders.give_back(box.occurrence, checkout.order.id, "asked")
    await box.sale.pause(box.occurrence)
    box.stripe.faults.clear()
    await box.money_round()
    assert (await box.order(buyer, checkout.order.id)).refund_state == "done"
