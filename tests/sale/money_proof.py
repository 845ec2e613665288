"""What must be true of money once nobody does anything any more."""

from __future__ import annotations

from devkit.stripe.objects import Intent
from engine.core.ids import new_id
from engine.sale.documents import Money, Order
from engine.sale.errors import LinesUnavailableError
from engine.sale.inventory import inspection
from engine.sale.requests import LineRequest
from tests.conservation import assert_conserved
from tests.sale.conftest import SHARD, Box

SEATS = LineRequest(ticket_type="stalls", seats=["A-1-1", "A-1-2"])


async def come_to_rest(box: Box) -> None:
    """Let messages, worker and provider go on until nothing is left that they could do."""
    await box.until_settled()
    for _ in range(8):
        await box.sale.money.catch_up()
        await box.advance(31_000)
        await box.sale.expiry.run_once()
        box.stripe.controls.settle()
        await box.until_settled()
        await box.money_round()


async def orders_of(box: Box) -> list[Order]:
    found = inspection.iter_orders(box.client, SHARD, box.occurrence)
    return [order async for order in found]


async def assert_money_is_somewhere(box: Box) -> None:
    """Every unit that was captured is a ticket's, back with its buyer, or known to be owed."""
    await assert_conserved(box.client, box.occurrence)
    orders = await orders_of(box)
    known: dict[str, tuple[Order, Money, bool]] = {}
    for order in orders:
        assert order.state not in {"pending", "cancelling"}, order
        payment = order.payment
        for money in payment.everything if payment else []:
            if money.captured:
                known[money.intent] = (order, money, money is payment)
        if order.state == "confirmed" and order.total:
            assert payment
            assert payment.captured == order.total
            assert payment.refund == 0
    for intent in box.stripe.state.intents:
        if intent.amount_received:
            assert_known(box, intent, *known[intent.id])


def assert_known(box: Box, intent: Intent, order: Order, money: Money, own: bool) -> None:
    refunds = [box.stripe.state.refunds.get(item) for item in intent.refunds]
    back = sum(item.amount for item in refunds if item.status == "succeeded")
    coming = sum(item.amount for item in refunds if item.status in {"pending", "requires_action"})
    disputes = [item for item in box.stripe.state.disputes if item.intent == intent.id]
    withdrawn = sum(
        item.amount
        for item in disputes
        if item.status in {"needs_response", "under_review", "lost"}
    )
    lost = sum(item.amount for item in disputes if item.status == "lost")
    assert (money.captured, money.refunded, money.refunding, money.withdrawn) == (
        intent.amount_received, back, coming, withdrawn
    ), (order, money)  # fmt: skip
    stays = money.captured - back - coming - lost - money.elsewhere
    if own and order.state == "confirmed":
        assert stays > 0, (order, money)
    else:
        assert money.refund == money.captured, (order, money)
        assert money.owed == max(0, stays - (withdrawn - lost)), (order, money)
        if money.owed:
            assert money.refund_state in {"owed", "failed"}, (order, money)


async def free_again(box: Box) -> bool:
    """Whether the two seats can be held by another."""
    try:
        await box.hold(new_id(), SEATS)
    except LinesUnavailableError:
        return False
    return True
