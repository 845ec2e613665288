from __future__ import annotations

import pytest
import stripe

from engine.embedded.stripe import StripeLookalike
from tests.payments.conftest import intent_params


async def paid(shop: stripe.StripeClient, method: str = "pm_card_visa") -> str:
    made = await shop.v1.payment_intents.create_async(
        intent_params(payment_method=method, confirm=True)
    )
    return made.id


async def captured_less_refunded(shop: stripe.StripeClient, item: str) -> int:
    read = await shop.v1.payment_intents.retrieve_async(item, {"expand": ["latest_charge"]})
    assert isinstance(read.latest_charge, stripe.Charge)
    return read.amount_received - read.latest_charge.amount_refunded


async def test_refunds_in_parts_never_exceed_what_was_taken(shop: stripe.StripeClient) -> None:
    item = await paid(shop)
    first = await shop.v1.refunds.create_async({"payment_intent": item, "amount": 4000})
    assert (first.status, first.amount, first.payment_intent) == ("succeeded", 4000, item)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await shop.v1.refunds.create_async({"payment_intent": item, "amount": 201})
    assert caught.value.param == "amount"
    assert await captured_less_refunded(shop, item) == 200
    rest = await shop.v1.refunds.create_async({"payment_intent": item})
    assert rest.amount == 200
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await shop.v1.refunds.create_async({"payment_intent": item})
    assert caught.value.code == "charge_already_refunded"
    listed = await shop.v1.refunds.list_async({"payment_intent": item})
    assert [refund.id for refund in listed.data] == [rest.id, first.id]
    read = await shop.v1.refunds.retrieve_async(first.id, {"expand": ["charge"]})
    assert isinstance(read.charge, stripe.Charge)
    assert read.charge.refunded
    assert read.balance_transaction is not None
    booked = await shop.v1.balance_transactions.retrieve_async(str(read.balance_transaction))
    assert booked.amount == -4000


@pytest.mark.parametrize("amount", [0, -1])
async def test_a_refund_of_nothing_is_refused(shop: stripe.StripeClient, amount: int) -> None:
    item = await paid(shop)
    with pytest.raises(stripe.InvalidRequestError):
        await shop.v1.refunds.create_async({"payment_intent": item, "amount": amount})
    assert await captured_less_refunded(shop, item) == 4200


@pytest.mark.parametrize("method", ["", "pm_card_threeDSecure2Required"])
async def test_an_intent_without_money_cannot_be_refunded(
    shop: stripe.StripeClient, method: str
) -> None:
    extra = {"payment_method": method, "confirm": True} if method else {}
    made = await shop.v1.payment_intents.create_async(intent_params(**extra))
    with pytest.raises(stripe.InvalidRequestError):
        await shop.v1.refunds.create_async({"payment_intent": made.id})


async def test_an_authorised_but_uncaptured_charge_cannot_be_refunded(
    shop: stripe.StripeClient,
) -> None:
    made = await shop.v1.payment_intents.create_async(
        intent_params(capture_method="manual", payment_method="pm_card_visa", confirm=True)
    )
    for target in ({"payment_intent": made.id}, {"charge": str(made.latest_charge)}):
        with pytest.raises(stripe.InvalidRequestError):
            await shop.raw_request_async("post", "/v1/refunds", **target)


async def test_a_disputed_charge_cannot_be_refunded(
    shop: stripe.StripeClient, stripe_lookalike: StripeLookalike
) -> None:
    item = await paid(shop, "pm_card_createDispute")
    (dispute,) = stripe_lookalike.state.disputes
    read = await shop.v1.disputes.retrieve_async(dispute.id)
    assert (read.payment_intent, read.amount) == (item, 4200)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await shop.v1.refunds.create_async({"payment_intent": item})
    assert caught.value.code == "charge_disputed"


async def test_a_slow_refund_is_pending_until_it_settles(
    shop: stripe.StripeClient, stripe_lookalike: StripeLookalike
) -> None:
    item = await paid(shop, "pm_card_pendingRefund")
    refund = await shop.v1.refunds.create_async({"payment_intent": item})
    assert refund.status == "pending"
    stripe_lookalike.controls.settle()
    assert (await shop.v1.refunds.retrieve_async(refund.id)).status == "succeeded"
    assert stripe_lookalike.controls.settle() == 0


async def test_a_refund_that_the_bank_sends_back_is_owed_again(
    shop: stripe.StripeClient, stripe_lookalike: StripeLookalike
) -> None:
    item = await paid(shop, "pm_card_refundFail")
    refund = await shop.v1.refunds.create_async({"payment_intent": item})
    assert refund.status == "succeeded"
    stripe_lookalike.controls.settle()
    assert (await shop.v1.refunds.retrieve_async(refund.id)).status == "failed"
    assert await captured_less_refunded(shop, item) == 4200
