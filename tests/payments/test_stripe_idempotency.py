from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import aiohttp
import msgspec
import pytest
import stripe

from devkit.stripe import Fault, StripeLookalike, idempotency
from devkit.stripe.idempotency import Answers
from devkit.stripe.objects import SavedAnswer
from tests.payments.conftest import intent_params

INTENTS = "/v1/payment_intents"


async def create(shop: stripe.StripeClient, params: Any, key: str) -> stripe.PaymentIntent:
    return await shop.v1.payment_intents.create_async(params, {"idempotency_key": key})


async def test_the_same_key_replays_the_first_answer(
    shop: stripe.StripeClient, stripe_lookalike: StripeLookalike
) -> None:
    params = intent_params()
    first = await create(shop, params, "k")
    await shop.v1.payment_intents.cancel_async(first.id)
    again = await create(shop, params, "k")
    assert (again.id, again.status) == (first.id, "requires_payment_method")
    assert first.last_response is not None
    assert again.last_response is not None
    assert again.last_response.body == first.last_response.body
    assert "Idempotent-Replayed" not in first.last_response.headers
    headers = again.last_response.headers
    assert headers["Idempotent-Replayed"] == "true"
    assert headers["Original-Request"] == first.last_response.headers["Request-Id"]
    assert len(stripe_lookalike.state.intents) == 1


async def test_the_same_key_with_other_parameters_is_refused(
    shop: stripe.StripeClient, stripe_lookalike: StripeLookalike
) -> None:
    params = intent_params()
    await create(shop, params, "k")
    with pytest.raises(stripe.IdempotencyError) as caught:
        await create(shop, {**params, "amount": 4300}, "k")
    assert caught.value.http_status == 400
    assert caught.value.error is not None
    assert caught.value.error.type == "idempotency_error"
    with pytest.raises(stripe.IdempotencyError):
        await shop.raw_request_async("post", "/v1/refunds", idempotency_key="k", **params)
    assert len(stripe_lookalike.state.intents) == 1


async def test_a_decline_is_replayed(shop: stripe.StripeClient) -> None:
    made = await create(shop, intent_params(), "k")
    for _ in range(2):
        with pytest.raises(stripe.CardError):
            await shop.v1.payment_intents.confirm_async(
                made.id, {"payment_method": "pm_card_chargeDeclined"}, {"idempotency_key": "pay"}
            )
    read = await shop.v1.charges.list_async({"payment_intent": made.id})
    assert len(read.data) == 1


async def test_what_was_refused_for_its_parameters_is_not_kept(
    shop: stripe.StripeClient,
) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        await create(shop, intent_params(amount=1), "k")
    made = await create(shop, intent_params(), "k")
    assert made.amount == 4200


@pytest.mark.parametrize(("when", "intents"), [("before", 0), ("after", 1)])
async def test_a_500_is_replayed_whether_or_not_the_work_was_done(
    shop: stripe.StripeClient, stripe_lookalike: StripeLookalike, when: str, intents: int
) -> None:
    params = intent_params()
    stripe_lookalike.fail(msgspec.convert({"mode": "error", "when": when}, Fault))
    for replayed in (None, "true"):
        with pytest.raises(stripe.APIError) as caught:
            await create(shop, params, "k")
        assert caught.value.http_status == 500
        assert caught.value.headers is not None
        assert caught.value.headers.get("Idempotent-Replayed") == replayed
        assert caught.value.headers.get("Stripe-Should-Retry") == "false"
    assert len(stripe_lookalike.state.intents) == intents
    await create(shop, params, "another")
    assert len(stripe_lookalike.state.intents) == intents + 1


@pytest.mark.parametrize(
    ("mode", "kind"), [("unavailable", stripe.APIError), ("rate_limit", stripe.RateLimitError)]
)
async def test_503_and_429_are_not_kept(
    shop: stripe.StripeClient,
    stripe_lookalike: StripeLookalike,
    mode: str,
    kind: type[stripe.StripeError],
) -> None:
    params = intent_params()
    stripe_lookalike.fail(msgspec.convert({"mode": mode, "path": INTENTS}, Fault))
    with pytest.raises(kind):
        await create(shop, params, "k")
    assert (await create(shop, params, "k")).amount == 4200


async def test_a_key_in_use_is_a_conflict(
    shop: stripe.StripeClient, stripe_lookalike: StripeLookalike
) -> None:
    params = intent_params()
    stripe_lookalike.fail(Fault(mode="hang"))
    first = asyncio.create_task(create(shop, params, "k"))
    while list(stripe_lookalike.faults):  # noqa: ASYNC110 - a fault that is taken tells nobody
        await asyncio.sleep(0)
    with pytest.raises(stripe.APIError) as caught:
        await create(shop, params, "k")
    assert caught.value.http_status == 409
    assert caught.value.error is not None
    assert caught.value.error.code == "idempotency_key_in_use"
    stripe_lookalike.faults.clear()
    assert (await create(shop, params, "k")).id == (await first).id


@pytest.mark.parametrize(("when", "intents"), [("before", 0), ("after", 1)])
async def test_a_dropped_connection_leaves_the_outcome_open_and_the_key_settles_it(
    shop: stripe.StripeClient, stripe_lookalike: StripeLookalike, when: str, intents: int
) -> None:
    params = intent_params()
    stripe_lookalike.fail(msgspec.convert({"mode": "drop", "when": when}, Fault))
    with pytest.raises(stripe.APIConnectionError):
        await create(shop, params, "k")
    assert len(stripe_lookalike.state.intents) == intents
    await create(shop, params, "k")
    assert len(stripe_lookalike.state.intents) == 1


async def test_two_callers_may_use_the_same_key(
    shop: stripe.StripeClient, browser: stripe.StripeClient
) -> None:
    made = await create(shop, intent_params(), "k")
    paid = await browser.raw_request_async(
        "post",
        f"{INTENTS}/{made.id}/confirm",
        idempotency_key="k",
        client_secret=made.client_secret,
        payment_method="pm_card_visa",
    )
    assert paid.data["status"] == "succeeded"


async def test_a_key_that_is_too_long_is_refused(shop: stripe.StripeClient) -> None:
    with pytest.raises(stripe.IdempotencyError):
        await create(shop, intent_params(), "k" * 256)


def answers_to(count: int) -> Iterator[SavedAnswer]:
    for number in range(count):
        yield SavedAnswer(
            key=str(number), digest="", status=200, body=msgspec.Raw(b"{}"), request=""
        )


def test_the_oldest_answers_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "_ANSWERS_MAX", 3)
    answers = Answers()
    for answer in answers_to(5):
        answers.load(answer)
    assert [answer.key for answer in answers] == ["2", "3", "4"]


def test_the_order_of_parameters_does_not_matter() -> None:
    one = idempotency.digest("POST", INTENTS, [("a", "1"), ("b", "2")])
    assert one == idempotency.digest("POST", INTENTS, [("b", "2"), ("a", "1")])
    assert one != idempotency.digest("POST", INTENTS, [("b", "1"), ("a", "2")])


async def test_the_controls_do_the_same_over_http(
    shop: stripe.StripeClient,
    stripe_lookalike: StripeLookalike,
    web_client: aiohttp.ClientSession,
) -> None:
    base = f"{stripe_lookalike.url}/_test"
    fault = {"mode": "error", "count": 2, "path": "/confirm"}
    async with web_client.post(f"{base}/faults", json=fault) as response:
        assert (await response.json())[0]["count"] == 2
    async with web_client.post(f"{base}/faults", json={"mode": "explode"}) as response:
        assert response.status == 400
    made = await create(shop, intent_params(), "k")
    with pytest.raises(stripe.APIError):
        await shop.v1.payment_intents.confirm_async(made.id)
    async with web_client.delete(f"{base}/faults") as response:
        assert await response.json() == []
    paid = await shop.v1.payment_intents.confirm_async(made.id, {"payment_method": "pm_card_visa"})
    assert paid.status == "succeeded"
    async with web_client.get(f"{base}/state") as response:
        assert (await response.json())["intents"] == 1


async def test_no_more_than_100_faults_wait(stripe_lookalike: StripeLookalike) -> None:
    for _ in range(100):
        stripe_lookalike.fail(Fault(mode="error"))
    with pytest.raises(ValueError, match="clear them"):
        stripe_lookalike.fail(Fault(mode="error"))
