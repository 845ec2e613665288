"""Disputes: the buyer's bank has the money for a while, or for good."""

from __future__ import annotations

from typing import Any

import pytest

from devkit.stripe.faults import Fault
from engine.core.ids import new_id
from engine.sale.errors import OrderDisputedError
from tests.sale.conftest import Box, intent_of
from tests.sale.money_proof import SEATS, assert_money_is_somewhere, come_to_rest, free_again


@pytest.mark.parametrize("told", ["webhook", "list", "round"])
@pytest.mark.parametrize(
    ("steps", "then"),
    [
        (["needs_response"], ("confirmed", "open")),
        (["needs_response", "under_review"], ("confirmed", "open")),
        (["needs_response", "won"], ("confirmed", "won")),
        (["needs_response", "lost"], ("refunded", "lost")),
        (["warning_needs_response"], ("confirmed", "inquiry")),
        (["warning_needs_response", "warning_closed"], ("confirmed", "won")),
        (["warning_needs_response", "needs_response", "lost"], ("refunded", "lost")),
    ],
)
async def test_a_dispute_is_followed_to_its_end(
    box: Box, steps: list[Any], then: tuple[str, str], told: str
) -> None:
    buyer = new_id()
    checkout = await box.confirmed(buyer, SEATS)
    if told != "webhook":
        box.stripe.deliver_to(None)
    box.stripe.money.dispute(intent_of(checkout), steps[0])
    if told == "round":
        await box.sale.money.catch_up()  # it is known; from here on nothing tells of it
    for status in steps[1:]:
        box.stripe.money.end_dispute(intent_of(checkout), status)
    await box.until_settled()
    await (box.sale.money.catch_up() if told == "list" else box.money_round())
    after = await box.order(buyer, checkout.order.id)
    assert (after.state, after.dispute) == then
    assert await free_again(box) == (after.state == "refunded")
    assert len(box.stripe.state.refunds) == 0
    await assert_money_is_somewhere(box)


async def test_a_disputed_order_is_not_refunded_and_says_why(box: Box) -> None:
    buyer = new_id()
    checkout = await box.confirmed(buyer, SEATS)
    box.stripe.deliver_to(None)
    box.stripe.money.dispute(intent_of(checkout))  # and nobody has told of it yet
    with pytest.raises(OrderDisputedError):
        await box.sale.orders.give_back(box.occurrence, checkout.order.id, "asked")
    assert (await box.order(buyer, checkout.order.id)).state == "confirmed"
    box.stripe.money.end_dispute(intent_of(checkout), "won")
    order = await box.sale.orders.give_back(box.occurrence, checkout.order.id, "asked")
    assert order.payment
    assert order.payment.refund_state == "done"
    await assert_money_is_somewhere(box)


@pytest.mark.parametrize("end", ["won", "lost"])
async def test_what_is_owed_waits_while_the_bank_decides(box: Box, end: str) -> None:
    """A dispute of an owed refund: lost, it is the refund; won, it is owed again."""
    buyer = new_id()
    checkout = await box.confirmed(buyer, SEATS)
    box.stripe.fail(Fault(mode="unavailable", count=1_000, path="refunds", method="POST"))
    await box.sale.orders.give_back(box.occurrence, checkout.order.id, "asked")
    box.stripe.faults.clear()
    box.stripe.money.dispute(intent_of(checkout))
    await box.until_settled()
    await box.money_round()
    view = await box.order(buyer, checkout.order.id)
    assert (view.refund_state, view.refund_due, view.dispute) == ("pending", 0, "open")
    box.stripe.money.end_dispute(intent_of(checkout), end)
    await come_to_rest(box)
    after = await box.order(buyer, checkout.order.id)
    assert (after.refund_state, after.refund_due) == ("done", 0)
    assert after.refunded == (after.total if end == "won" else 0)
    await assert_money_is_somewhere(box)
