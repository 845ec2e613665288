from __future__ import annotations

from typing import Any

import aiohttp
import pytest
import stripe

from devkit.stripe import StripeLookalike
from devkit.stripe.errors import ApiError
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


async def test_a_refund_of_the_dashboard_names_nobody_and_can_end_any_way(
    shop: stripe.StripeClient, stripe_lookalike: StripeLookalike
) -> None:
    item = await paid(shop)
    made = stripe_lookalike.money.refund(item, 1000)
    read = await shop.v1.refunds.retrieve_async(made.id)
    assert (read.status, read.amount, read.to_dict()["metadata"]) == ("succeeded", 1000, {})
    for status in ("failed", "canceled"):
        other = stripe_lookalike.money.refund(item, 100)
        stripe_lookalike.money.end_refund(status, refund=other.id)
        ended = await shop.v1.refunds.retrieve_async(other.id)
        assert (ended.status, bool(ended.failure_reason)) == (status, status == "failed")
        with pytest.raises(ApiError):
            stripe_lookalike.money.end_refund("succeeded", refund=other.id)
    assert await captured_less_refunded(shop, item) == 3200
    kinds = [event.kind for event in stripe_lookalike.state.events]
    for kind in ("refund.created", "refund.updated", "refund.failed", "charge.refund.updated"):
        assert kind in kinds


@pytest.mark.parametrize("status", ["failed", "canceled", "pending", "requires_action"])
async def test_a_refund_begins_as_it_is_told_to(
    shop: stripe.StripeClient, stripe_lookalike: StripeLookalike, status: str
) -> None:
    item = await paid(shop)
    stripe_lookalike.money.next_refunds(status)  # type: ignore[arg-type]
    refund = await shop.v1.refunds.create_async({"payment_intent": item})
    assert refund.status == status
    left = 4200 if status in {"failed", "canceled"} else 0
    assert await captured_less_refunded(shop, item) == left


@pytest.mark.parametrize("amount", [4000, 4200, 5000])
async def test_another_amount_can_be_captured_than_was_asked_for(
    shop: stripe.StripeClient, stripe_lookalike: StripeLookalike, amount: int
) -> None:
    made = await shop.v1.payment_intents.create_async(intent_params())
    stripe_lookalike.money.capture(made.id, amount)
    read = await shop.v1.payment_intents.retrieve_async(made.id)
    assert (read.status, read.amount, read.amount_received) == ("succeeded", 4200, amount)
    refund = await shop.v1.refunds.create_async({"payment_intent": made.id})
    assert refund.amount == amount


async def test_a_dispute_goes_on_and_ends(
    shop: stripe.StripeClient, stripe_lookalike: StripeLookalike
) -> None:
    item = await paid(shop)
    money = stripe_lookalike.money
    money.dispute(item, "warning_needs_response")
    await shop.v1.refunds.create_async({"payment_intent": item, "amount": 1})
    for status, refundable in (("needs_response", False), ("won", True), ("lost", False)):
        money.end_dispute(item, status)
        listed = await shop.v1.disputes.list_async({"payment_intent": item})
        assert [dispute.status for dispute in listed.data] == [status]
        if refundable:
            await shop.v1.refunds.create_async({"payment_intent": item, "amount": 1})
        else:
            with pytest.raises(stripe.InvalidRequestError, match="charged back"):
                await shop.v1.refunds.create_async({"payment_intent": item, "amount": 1})
    happened = [e.kind for e in stripe_lookalike.state.events if "dispute" in e.kind]
    assert happened == [
        f"charge.dispute.{kind}"
        for kind in (
            *("created", "updated", "funds_withdrawn"),
            *("closed", "funds_reinstated", "closed", "funds_withdrawn"),
        )
    ]


@pytest.mark.parametrize(
    ("control", "body", "status"),
    [
        ("refund", {"intent": "pi_none"}, 404),
        ("refund", {"intent": 7}, 400),
        ("refund", {"intent": "", "amount": 0}, 400),
        ("end_refund", {"status": "failed", "refund": "re_none"}, 404),
        ("end_refund", {"status": "lost"}, 400),
        ("next_refunds", {"status": "failed", "count": -1}, 400),
        ("capture", {"intent": "pi_none"}, 404),
        ("dispute", {"intent": "pi_none"}, 404),
        ("end_dispute", {"intent": "pi_none", "status": "won"}, 404),
        ("next_refunds", {"status": "failed", "count": 2}, 200),
    ],
)
async def test_controls_of_money_are_reached_over_http(
    stripe_lookalike: StripeLookalike,
    web_client: aiohttp.ClientSession,
    control: str,
    body: dict[str, Any],
    status: int,
) -> None:
    async with web_client.post(f"{stripe_lookalike.url}/_test/{control}", json=body) as response:
        assert response.status == status, await response.text()
