from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import stripe

from devkit.stripe import StripeLookalike
from devkit.stripe.signing import sign
from engine.core.ids import new_id
from engine.payments.errors import WebhookRejectedError
from engine.payments.provider import WebhookEvent
from engine.payments.stripe import WEBHOOK_BYTES_MAX, WEBHOOK_EVENTS, StripeProvider
from engine.payments.stripe_objects import MONEY_EVENTS
from tests.payments.conftest import Receiver, intent_params, provider_of

SECRET = "whsec_test"


@pytest.fixture
async def verifier(stripe_lookalike: StripeLookalike) -> AsyncIterator[StripeProvider]:
    async with provider_of(stripe_lookalike, webhook_secret=SECRET) as made:
        yield made


def message(**changes: Any) -> bytes:
    intent = {
        "id": "pi_1",
        "amount": 500,
        "currency": "eur",
        "status": "succeeded",
        "amount_received": 500,
        "metadata": {"order": new_id(), "occurrence": new_id()},
        "latest_charge": "ch_1",
    }
    document = {
        "id": "evt_1",
        "object": "event",
        "type": "payment_intent.succeeded",
        "created": 1_700_000_000,
        "data": {"object": intent},
        **changes,
    }
    return orjson.dumps(document)


def test_a_signature_of_ours_is_what_the_library_makes() -> None:
    body = message()
    assert sign(body, SECRET, 1_700_000_000) == (
        stripe.WebhookSignature.generate_signature_header(
            body.decode(), SECRET, timestamp=1_700_000_000
        )
    )


async def test_a_genuine_message_is_decoded(verifier: StripeProvider) -> None:
    body = message()
    event = verifier.parse_webhook(body, sign(body, SECRET))
    assert (event.id, event.kind, event.created_s) == (
        "evt_1",
        "payment_intent.succeeded",
        1_700_000_000,
    )
    assert event.intent is not None
    assert (event.intent.status, event.intent.captured) == ("succeeded", 500)


async def test_a_message_signed_with_one_of_two_secrets_is_genuine(
    verifier: StripeProvider,
) -> None:
    body = message()
    old = sign(body, "whsec_old")
    both = old + "," + sign(body, SECRET).split(",", 1)[1]
    assert verifier.parse_webhook(body, both).id == "evt_1"


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "nonsense",
        "t=,v1=",
        "t=1",
        "v1=" + "0" * 64,
        "t=x,v1=" + "0" * 64,
        "t=99999999999999999999,v1=" + "0" * 64,
        "t=1700000000,v1=é",
        "t=1,v1=" + "0" * 5_000,
    ],
)
async def test_a_malformed_signature_is_rejected(verifier: StripeProvider, signature: str) -> None:
    with pytest.raises(WebhookRejectedError):
        verifier.parse_webhook(message(), signature)


async def test_forged_messages_are_rejected(verifier: StripeProvider) -> None:
    body = message()
    genuine = sign(body, SECRET)
    for forged, signature in (
        (body, sign(body, "whsec_guessed")),
        (body.replace(b"500", b"900"), genuine),
        (body + b" ", genuine),
        (body, genuine.replace("v1=", "v0=")),
        (body, genuine.replace("t=", "t=9", 1)),
    ):
        with pytest.raises(WebhookRejectedError):
            verifier.parse_webhook(forged, signature)


async def test_a_message_older_than_five_minutes_is_rejected(verifier: StripeProvider) -> None:
    body, now = message(), int(time.time())
    assert verifier.parse_webhook(body, sign(body, SECRET, now - 290)).id == "evt_1"
    with pytest.raises(WebhookRejectedError):
        verifier.parse_webhook(body, sign(body, SECRET, now - 310))


async def test_an_oversized_message_is_rejected_though_genuine(
    verifier: StripeProvider,
) -> None:
    body = message()
    body += b" " * (WEBHOOK_BYTES_MAX - len(body))
    assert verifier.parse_webhook(body, sign(body, SECRET)).id == "evt_1"
    with pytest.raises(WebhookRejectedError):
        verifier.parse_webhook(body + b" ", sign(body + b" ", SECRET))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 60_000,
        message(data=None),
        message(created="now"),
        message(data={"object": {"id": "pi_1"}}),
        message(data={"object": "pi_1"}),
    ],
    ids=range(10),
)
async def test_a_signed_message_that_makes_no_sense_is_rejected(
    verifier: StripeProvider, body: bytes
) -> None:
    with pytest.raises(WebhookRejectedError):
        verifier.parse_webhook(body, sign(body, SECRET))


async def test_kinds_that_concern_no_intent_are_told_without_one(
    verifier: StripeProvider,
) -> None:
    for kind, thing in (
        ("charge.dispute.created", {"id": "dp_1", "payment_intent": "pi_1"}),
        ("customer.created", {"id": "cus_1"}),
        (
            "payment_intent.succeeded",
            {"id": "pi_2", "amount": 1, "currency": "eur", "status": "succeeded"},
        ),
    ):
        body = message(type=kind, data={"object": thing})
        event = verifier.parse_webhook(body, sign(body, SECRET))
        assert (event.kind, event.intent) == (kind, None)


async def received(receiver: Receiver, provider: StripeProvider, kind: str) -> WebhookEvent:
    def found() -> list[WebhookEvent]:
        return [event for event in parsed() if event.kind == kind]

    def parsed() -> list[WebhookEvent]:
        return [provider.parse_webhook(body, signature) for body, signature in receiver.received]

    await receiver.until(lambda: bool(found()))
    return found()[0]


async def test_every_step_of_a_payment_is_told_with_its_intent(
    provider: StripeProvider,
    shop: stripe.StripeClient,
    stripe_lookalike: StripeLookalike,
    receiver: Receiver,
) -> None:
    stripe_lookalike.deliver_to(receiver.url)
    params = intent_params()

    async def told(kind: str) -> tuple[str, str, int, int, str]:
        event = await received(receiver, provider, kind)
        intent = event.intent
        assert intent is not None
        assert (intent.order, intent.currency) == (params["metadata"]["order"], "EUR")
        assert intent.amount == 4200
        return intent.id, intent.status, intent.captured, intent.refunded, intent.failure

    made = await shop.v1.payment_intents.create_async(params)
    with pytest.raises(stripe.CardError):
        await shop.v1.payment_intents.confirm_async(
            made.id, {"payment_method": "pm_card_chargeDeclined"}
        )
    assert await told("payment_intent.payment_failed") == (made.id, "open", 0, 0, "generic_decline")
    await shop.v1.payment_intents.confirm_async(
        made.id, {"payment_method": "pm_card_threeDSecure2Required"}
    )
    assert await told("payment_intent.requires_action") == (made.id, "open", 0, 0, "")
    await shop.v1.payment_intents.confirm_async(made.id, {"payment_method": "pm_card_visa"})
    assert await told("payment_intent.succeeded") == (made.id, "succeeded", 4200, 0, "")
    await provider.refund(
        intent=made.id, order=params["metadata"]["order"], amount=1200, reason="late"
    )
    assert await told("charge.refunded") == (made.id, "succeeded", 4200, 1200, "")
    other = await shop.v1.payment_intents.create_async(params)
    await shop.v1.payment_intents.confirm_async(
        other.id, {"payment_method": "pm_usBankAccount_success"}
    )
    assert await told("payment_intent.processing") == (other.id, "processing", 0, 0, "")
    third = await shop.v1.payment_intents.create_async(params)
    await provider.cancel_intent(third.id)
    assert await told("payment_intent.canceled") == (third.id, "canceled", 0, 0, "")


async def test_a_dispute_is_told(
    provider: StripeProvider,
    shop: stripe.StripeClient,
    stripe_lookalike: StripeLookalike,
    receiver: Receiver,
) -> None:
    stripe_lookalike.deliver_to(receiver.url)
    await shop.v1.payment_intents.create_async(
        intent_params(payment_method="pm_card_createDispute", confirm=True)
    )
    event = await received(receiver, provider, "charge.dispute.created")
    assert event.intent is None


@pytest.mark.parametrize("kind", MONEY_EVENTS)
async def test_a_message_about_money_says_which_intent_it_is_about(
    verifier: StripeProvider, kind: str
) -> None:
    """Refunds of the dashboard and disputes name no order: the intent does."""
    thing = {
        "id": "ch_1", "object": "charge", "payment_intent": "pi_7", "amount": 5, "currency": "eur",
        "amount_captured": 5, "amount_refunded": 5, "status": "failed", "metadata": {},
    }  # fmt: skip
    if kind == "charge.refunded":
        thing["metadata"] = {"order": new_id(), "occurrence": new_id()}
    body = message(type=kind, data={"object": thing})
    event = verifier.parse_webhook(body, sign(body, SECRET))
    assert (event.kind, event.payment) == (kind, "pi_7")
    assert kind in WEBHOOK_EVENTS
    without = message(type=kind, data={"object": {**thing, "payment_intent": None}})
    assert verifier.parse_webhook(without, sign(without, SECRET)).payment == ""
