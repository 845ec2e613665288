"""The look-alike refuses what Stripe refuses, says so as Stripe does, and does it on demand."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
import stripe

from devkit.stripe import Fault, StripeLookalike
from tests.payments.conftest import intent_params


@pytest.mark.parametrize(
    ("changes", "code", "param"),
    [
        ({"receipt_email": "ada"}, "email_invalid", "receipt_email"),
        ({"receipt_email": "a..b@example.org"}, "email_invalid", "receipt_email"),
        ({"receipt_email": "ädä@example.org"}, "email_invalid", "receipt_email"),
        ({"receipt_email": "ada@bücher.example.org"}, "email_invalid", "receipt_email"),
        ({"receipt_email": "ada@example"}, "email_invalid", "receipt_email"),
        ({"amount": 49}, "amount_too_small", "amount"),
        ({"amount": 100_000_000}, "amount_too_large", "amount"),
        ({"amount": 4_255, "currency": "kwd"}, "invalid_amount", "amount"),
        ({"amount": 4_250, "currency": "isk"}, "invalid_amount", "amount"),
        ({"amount": 4_250, "currency": "ugx"}, "invalid_amount", "amount"),
        ({"amount": 10**12, "currency": "idr"}, "amount_too_large", "amount"),
        ({"currency": "xxx"}, None, "currency"),
        ({"description": "d" * 1_001}, None, "description"),
        ({"metadata": {"m" * 41: "x"}}, None, "metadata"),
        ({"metadata": {"m": "x" * 501}}, None, "metadata"),
        ({"metadata": {f"m{i}": "x" for i in range(51)}}, None, "metadata"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_what_stripe_refuses_at_creation(
    shop: stripe.StripeClient, changes: dict[str, Any], code: str | None, param: str
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await shop.v1.payment_intents.create_async(intent_params(**changes))
    error = caught.value
    assert (error.http_status, error.code, error.param) == (400, code, param)
    assert error.error is not None
    assert error.error.type == "invalid_request_error"


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": 999_999_999_990, "currency": "idr"},
        {"amount": 4_250, "currency": "kwd"},
        {"amount": 500, "currency": "isk"},
        {"receipt_email": "ada.lovelace+tickets@example.org"},
        {"receipt_email": "ada@xn--bcher-kva.example.org"},
        {"description": "d" * 1_000},
        {"metadata": {"m" * 40: "x" * 500, **{f"m{i}": "x" for i in range(49)}}},
    ],
    ids=lambda value: str(value)[:40],
)
async def test_what_stripe_takes(shop: stripe.StripeClient, changes: dict[str, Any]) -> None:
    made = await shop.v1.payment_intents.create_async(intent_params(**changes))
    assert made.status == "requires_payment_method"


@pytest.mark.parametrize(
    ("fault", "kind", "status"),
    [
        (Fault(mode="refuse", code="email_invalid"), stripe.InvalidRequestError, 400),
        (Fault(mode="refuse", status=402, code="card_declined"), stripe.CardError, 402),
        (Fault(mode="refuse", status=403, code="x"), stripe.PermissionError, 403),
        (Fault(mode="lock"), stripe.APIError, 409),
    ],
    ids=str,
)
async def test_refusals_on_demand(
    stripe_lookalike: StripeLookalike,
    shop: stripe.StripeClient,
    fault: Fault,
    kind: type[stripe.StripeError],
    status: int,
) -> None:
    stripe_lookalike.fail(fault)
    with pytest.raises(kind) as caught:
        await shop.v1.payment_intents.create_async(intent_params())
    assert caught.value.http_status == status
    assert len(stripe_lookalike.state.intents) == 0
    await shop.v1.payment_intents.create_async(intent_params())


async def test_a_delay_on_demand_is_one_and_then_the_answer(
    stripe_lookalike: StripeLookalike, shop: stripe.StripeClient
) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    stripe_lookalike.fail(Fault(mode="delay", delay_s=0.1))
    await shop.v1.payment_intents.create_async(intent_params())
    assert loop.time() - began >= 0.1


async def test_calls_are_counted_by_route(
    stripe_lookalike: StripeLookalike,
    shop: stripe.StripeClient,
    web_client: aiohttp.ClientSession,
) -> None:
    made = await shop.v1.payment_intents.create_async(intent_params())
    for _ in range(2):
        await shop.v1.payment_intents.retrieve_async(made.id)
    url = f"{stripe_lookalike.url}/_test/calls"
    async with web_client.get(url) as answer:
        assert await answer.json() == {
            "POST /v1/payment_intents": 1,
            "GET /v1/payment_intents/{id}": 2,
        }
    async with web_client.delete(url) as answer:
        assert await answer.json() == {}
    assert stripe_lookalike.calls.total() == 0
