from __future__ import annotations

from typing import Any

import aiohttp
import orjson
import pytest
import stripe

from devkit.stripe import Behaviour, StripeLookalike
from devkit.stripe.errors import ApiError
from engine.payments.stripe import WEBHOOK_EVENTS
from tests.payments.conftest import Receiver, intent_params, library


async def pay(shop: stripe.StripeClient, method: str = "pm_card_visa") -> str:
    made = await shop.v1.payment_intents.create_async(
        intent_params(payment_method=method, confirm=True)
    )
    return made.id


def kinds(receiver: Receiver) -> list[str]:
    return [orjson.loads(body)["type"] for body, _ in receiver.received]


async def test_events_are_delivered_signed_so_that_the_library_accepts_them(
    shop: stripe.StripeClient, stripe_lookalike: StripeLookalike, receiver: Receiver
) -> None:
    stripe_lookalike.deliver_to(receiver.url)
    item = await pay(shop)
    await receiver.until_count(3)
    assert sorted(kinds(receiver)) == [
        "charge.succeeded",
        "payment_intent.created",
        "payment_intent.succeeded",
    ]
    for body, signature in receiver.received:
        event = stripe.Webhook.construct_event(body, signature, stripe_lookalike.webhook_secret)
        assert event.api_version == stripe.api_version
        seen = event.data.object.to_dict()
        assert item in (seen["id"], seen.get("payment_intent"))
        with pytest.raises(stripe.SignatureVerificationError):
            stripe.Webhook.construct_event(body, signature, "whsec_other")


async def test_the_events_of_a_payments_life_can_be_read(
    shop: stripe.StripeClient, stripe_lookalike: StripeLookalike
) -> None:
    item = await pay(shop)
    await shop.v1.refunds.create_async({"payment_intent": item})
    events = await shop.v1.events.list_async({"types": ["payment_intent.succeeded"]})
    (event,) = events.data
    assert (await shop.v1.events.retrieve_async(event.id)).data.object["id"] == item
    charges = await shop.v1.events.list_async({"type": "charge.*"})
    assert [event.type for event in charges.data] == ["charge.refunded", "charge.succeeded"]
    assert all(not event.pending for event in stripe_lookalike.state.events)


async def test_only_the_kinds_that_are_enabled_are_delivered(receiver: Receiver) -> None:
    lookalike = StripeLookalike(webhook_url=receiver.url, webhook_events=WEBHOOK_EVENTS)
    await lookalike.start()
    async with library(lookalike) as client:
        await pay(client)
        await lookalike.webhooks.settled()
    await lookalike.stop()
    assert kinds(receiver) == ["payment_intent.succeeded"]


async def test_a_failed_delivery_is_tried_again_until_it_is_accepted(
    shop: stripe.StripeClient, stripe_lookalike: StripeLookalike, receiver: Receiver
) -> None:
    stripe_lookalike.deliver_to(receiver.url)
    receiver.answers = [500, 302, 404]
    await shop.v1.payment_intents.create_async(intent_params())
    await stripe_lookalike.webhooks.settled()
    assert len(receiver.received) == 4
    assert len({body for body, _ in receiver.received}) == 1
    assert [attempt.status for attempt in stripe_lookalike.webhooks.log] == [500, 302, 404, 200]
    assert stripe_lookalike.webhooks.counts.delivered == 1


async def test_an_endpoint_that_is_away_is_tried_at_most_16_times(
    shop: stripe.StripeClient, stripe_lookalike: StripeLookalike, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stripe_lookalike.webhooks, "_retry_first_s", 0.0)
    stripe_lookalike.deliver_to("http://127.0.0.1:9/nobody")
    await shop.v1.payment_intents.create_async(intent_params())
    await stripe_lookalike.webhooks.settled()
    counts = stripe_lookalike.webhooks.counts
    assert (counts.failed_attempts, counts.given_up, counts.delivered) == (16, 1, 0)
    assert stripe_lookalike.webhooks.log[0].error


async def test_paused_deliveries_wait_and_come_shuffled(
    shop: stripe.StripeClient, stripe_lookalike: StripeLookalike, receiver: Receiver
) -> None:
    stripe_lookalike.deliver_to(receiver.url)
    stripe_lookalike.deliver(Behaviour(paused=True))
    made = [
        (await shop.v1.payment_intents.create_async(intent_params(amount=100 + n))).id
        for n in range(40)
    ]
    assert stripe_lookalike.webhooks.waiting == 40
    assert receiver.received == []
    stripe_lookalike.deliver(Behaviour(shuffle=True))
    await stripe_lookalike.webhooks.settled()
    came = [orjson.loads(body)["data"]["object"]["id"] for body, _ in receiver.received]
    assert sorted(came) == sorted(made)
    assert [attempt.event for attempt in stripe_lookalike.webhooks.log] != [
        event.id for event in stripe_lookalike.state.events
    ]


async def test_deliveries_are_doubled_and_repeated_on_demand(
    shop: stripe.StripeClient, stripe_lookalike: StripeLookalike, receiver: Receiver
) -> None:
    stripe_lookalike.deliver_to(receiver.url)
    stripe_lookalike.deliver(Behaviour(duplicates=2))
    await shop.v1.payment_intents.create_async(intent_params())
    await stripe_lookalike.webhooks.settled()
    assert len(receiver.received) == 3
    stripe_lookalike.deliver(Behaviour())
    (event,) = stripe_lookalike.state.events
    stripe_lookalike.controls.redeliver(event.id)
    await stripe_lookalike.webhooks.settled()
    assert len(receiver.received) == 4
    assert {orjson.loads(body)["id"] for body, _ in receiver.received} == {event.id}
    with pytest.raises(ApiError):
        stripe_lookalike.controls.redeliver("evt_none")


async def test_delayed_deliveries_are_not_lost(
    shop: stripe.StripeClient, stripe_lookalike: StripeLookalike, receiver: Receiver
) -> None:
    stripe_lookalike.deliver_to(receiver.url)
    stripe_lookalike.deliver(Behaviour(delay_s=0.05))
    await shop.v1.payment_intents.create_async(intent_params())
    assert stripe_lookalike.webhooks.waiting == 1
    await stripe_lookalike.webhooks.settled()
    assert len(receiver.received) == 1


async def test_no_more_deliveries_wait_than_there_is_room_for(
    shop: stripe.StripeClient,
    stripe_lookalike: StripeLookalike,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("devkit.stripe.webhooks._WAITING_MAX", 2)
    stripe_lookalike.deliver_to(receiver.url)
    stripe_lookalike.deliver(Behaviour(paused=True))
    for _ in range(3):
        await shop.v1.payment_intents.create_async(intent_params())
    assert stripe_lookalike.webhooks.waiting == 2
    assert stripe_lookalike.webhooks.counts.given_up == 1


async def test_the_webhook_controls_work_over_http(
    shop: stripe.StripeClient,
    stripe_lookalike: StripeLookalike,
    receiver: Receiver,
    web_client: aiohttp.ClientSession,
) -> None:
    stripe_lookalike.deliver_to(receiver.url)
    base = f"{stripe_lookalike.url}/_test"

    async def call(method: str, path: str, status: int = 200, **body: object) -> Any:
        async with web_client.request(method, base + path, json=body or None) as response:
            assert response.status == status
            return await response.json()

    seen = await call("POST", "/webhooks", paused=True)
    assert seen["behaviour"]["paused"] is True
    await shop.v1.payment_intents.create_async(intent_params())
    assert (await call("GET", "/webhooks"))["waiting"] == 1
    await call("POST", "/webhooks", 400, delay_s=-1)
    await call("POST", "/webhooks", paused=False)
    await stripe_lookalike.webhooks.settled()
    (delivery,) = await call("GET", "/deliveries")
    assert delivery["status"] == 200
    await call("POST", "/redeliver", event=delivery["event"])
    await call("POST", "/redeliver", 404, event="evt_none")
    await stripe_lookalike.webhooks.settled()
    assert len(receiver.received) == 2
    assert (await call("POST", "/settle"))["settled"] == 0
    async with web_client.get(f"{stripe_lookalike.url}/health") as response:
        assert response.status == 200
