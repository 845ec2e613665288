from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
import stripe

from devkit.stripe import StripeLookalike
from devkit.stripe.state import API_VERSION
from tests.payments.conftest import intent_params

RETURN_URL = "https://shop.example/done?order=1"


async def refused(call: Any) -> stripe.StripeError:
    with pytest.raises(stripe.StripeError) as caught:
        await call
    return caught.value


async def test_an_intent_is_created_paid_and_read_with_its_charge(
    shop: stripe.StripeClient,
) -> None:
    made = await shop.v1.payment_intents.create_async(intent_params(receipt_email="a@b.co"))
    assert made.id.startswith("pi_")
    assert made.client_secret is not None
    assert made.client_secret.startswith(f"{made.id}_secret_")
    assert (made.status, made.amount_received) == ("requires_payment_method", 0)
    paid = await shop.v1.payment_intents.confirm_async(
        made.id, {"payment_method": "pm_card_visa", "return_url": RETURN_URL}
    )
    assert (paid.status, paid.amount_received) == ("succeeded", 4200)
    assert paid.payment_method is not None
    read = await shop.v1.payment_intents.retrieve_async(
        made.id, {"expand": ["latest_charge.balance_transaction", "payment_method"]}
    )
    charge = read.latest_charge
    assert isinstance(charge, stripe.Charge)
    assert (charge.paid, charge.amount_captured, charge.refunded) == (True, 4200, False)
    assert charge.metadata == made.metadata
    assert isinstance(charge.balance_transaction, stripe.BalanceTransaction)
    assert charge.balance_transaction.net == 4200 - charge.balance_transaction.fee
    assert isinstance(read.payment_method, stripe.PaymentMethod)
    assert read.payment_method.card is not None
    assert read.payment_method.card.last4 == "4242"
    transaction = await shop.v1.balance_transactions.retrieve_async(charge.balance_transaction.id)
    assert transaction.amount == 4200


def test_the_api_version_is_the_librarys() -> None:
    assert stripe.api_version == API_VERSION


async def test_every_answer_carries_a_request_id_and_the_version(
    shop: stripe.StripeClient,
) -> None:
    made = await shop.v1.payment_intents.create_async(intent_params())
    assert made.last_response is not None
    headers = made.last_response.headers
    assert headers["Request-Id"].startswith("req_")
    assert headers["Stripe-Version"] == stripe.api_version


@pytest.mark.parametrize(
    ("method", "code", "decline_code"),
    [
        ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_visa_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_chargeDeclinedLostCard", "card_declined", "lost_card"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
        ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", "incorrect_cvc"),
        ("pm_card_chargeDeclinedProcessingError", "processing_error", "processing_error"),
    ],
)
async def test_a_declined_card_leaves_the_intent_payable(
    shop: stripe.StripeClient, method: str, code: str, decline_code: str
) -> None:
    made = await shop.v1.payment_intents.create_async(intent_params())
    error = await refused(
        shop.v1.payment_intents.confirm_async(made.id, {"payment_method": method})
    )
    assert isinstance(error, stripe.CardError)
    assert error.http_status == 402
    assert error.error is not None
    assert (error.code, error.error.decline_code) == (code, decline_code)
    assert error.error.payment_intent is not None
    assert error.error.payment_intent.id == made.id
    read = await shop.v1.payment_intents.retrieve_async(made.id)
    assert read.status == "requires_payment_method"
    assert read.last_payment_error is not None
    assert read.last_payment_error.code == code
    paid = await shop.v1.payment_intents.confirm_async(made.id, {"payment_method": "pm_card_visa"})
    assert (paid.status, paid.last_payment_error) == ("succeeded", None)
    charges = await shop.v1.charges.list_async({"payment_intent": made.id})
    assert [charge.status for charge in charges.data] == ["succeeded", "failed"]


async def test_a_buyers_browser_pays_with_the_client_secret_and_sees_no_more_than_it_may(
    shop: stripe.StripeClient, browser: stripe.StripeClient
) -> None:
    made = await shop.v1.payment_intents.create_async(intent_params())
    card = await browser.v1.payment_methods.create_async(
        {
            "type": "card",
            "card": {"number": "5555555555554444", "exp_month": 12, "exp_year": 2040, "cvc": "123"},
        }
    )
    assert card.id.startswith("pm_")
    paid = await browser.raw_request_async(
        "post",
        f"/v1/payment_intents/{made.id}/confirm",
        client_secret=made.client_secret,
        payment_method=card.id,
    )
    assert paid.data["status"] == "succeeded"
    assert not {"metadata", "latest_charge", "amount_received"} & set(paid.data)
    read = await browser.v1.payment_intents.retrieve_async(
        made.id, {"client_secret": made.client_secret or ""}
    )
    assert read.status == "succeeded"


async def test_a_decline_tells_a_browser_no_metadata(
    shop: stripe.StripeClient, browser: stripe.StripeClient
) -> None:
    made = await shop.v1.payment_intents.create_async(intent_params())
    error = await refused(
        browser.raw_request_async(
            "post",
            f"/v1/payment_intents/{made.id}/confirm",
            client_secret=made.client_secret,
            payment_method_data={
                "type": "card",
                "card": {"number": "4000000000000002", "exp_month": 1, "exp_year": 40},
            },
        )
    )
    assert error.code == "card_declined"
    assert isinstance(error.json_body, dict)
    assert "metadata" not in error.json_body["error"]["payment_intent"]


@pytest.mark.parametrize("secret", [None, "pi_x_secret_y"])
async def test_a_browser_without_the_client_secret_is_refused(
    shop: stripe.StripeClient, browser: stripe.StripeClient, secret: str | None
) -> None:
    made = await shop.v1.payment_intents.create_async(intent_params())
    extra = {} if secret is None else {"client_secret": secret}
    for method, path in (("get", ""), ("post", "/confirm")):
        error = await refused(
            browser.raw_request_async(method, f"/v1/payment_intents/{made.id}{path}", **extra)
        )
        assert error.http_status == 400
        assert getattr(error, "param", None) == "client_secret"


async def test_a_browser_may_do_nothing_else(browser: stripe.StripeClient) -> None:
    for method, path in (
        ("post", "/v1/payment_intents"),
        ("get", "/v1/payment_intents"),
        ("post", "/v1/refunds"),
        ("get", "/v1/events"),
    ):
        error = await refused(browser.raw_request_async(method, path))
        assert isinstance(error, stripe.AuthenticationError)
        assert error.error is not None
        assert error.error.code == "secret_key_required"


async def test_keys_are_taken_as_bearer_or_basic_and_wrong_ones_refused(
    stripe_lookalike: StripeLookalike, web_client: aiohttp.ClientSession
) -> None:
    key = stripe_lookalike.secret_key

    def basic(text: str) -> str:
        return "Basic " + base64.b64encode(text.encode()).decode()

    for header, status in (
        (f"Bearer {key}", 200),
        (basic(f"{key}:"), 200),
        ("Bearer sk_test_wrong", 401),
        (basic("sk_test_wrong:"), 401),
        ("Basic !!", 401),
        ("", 401),
    ):
        async with web_client.get(
            f"{stripe_lookalike.url}/v1/payment_intents", headers={"Authorization": header}
        ) as response:
            assert response.status == status, header
            assert ("error" in await response.json()) == (status == 401)


@pytest.mark.parametrize(
    ("changes", "code", "param"),
    [
        ({"amount": 49}, "amount_too_small", "amount"),
        ({"amount": 49, "currency": "jpy"}, "amount_too_small", "amount"),
        ({"amount": 100_000_000}, "amount_too_large", "amount"),
        ({"amount": -1}, "parameter_invalid_integer", "amount"),
        ({"amount": "4.2"}, "parameter_invalid_integer", "amount"),
        ({"amount": 5005, "currency": "kwd"}, "invalid_amount", "amount"),
        ({"currency": "zzz"}, None, "currency"),
        ({"currency": ""}, "parameter_missing", "currency"),
        ({"amuont": 1}, "parameter_unknown", "amuont"),
        ({"payment_method": "pm_none"}, "resource_missing", "payment_method"),
        ({"capture_method": "later"}, None, "capture_method"),
        ({"payment_method_types": ["card"]}, None, "payment_method_types"),
        ({"metadata": {"k" * 41: "v"}}, None, "metadata"),
        ({"metadata": {"k": "v" * 501}}, None, "metadata"),
        ({"metadata": {f"k{n}": "v" for n in range(51)}}, None, "metadata"),
    ],
)
async def test_wrong_parameters_are_named(
    shop: stripe.StripeClient, changes: dict[str, Any], code: str | None, param: str
) -> None:
    error = await refused(
        shop.raw_request_async("post", "/v1/payment_intents", **intent_params(**changes))
    )
    assert isinstance(error, stripe.InvalidRequestError)
    assert (error.code, error.param) == (code, param)


async def test_amounts_of_currencies_without_decimals_are_whole_units(
    shop: stripe.StripeClient,
) -> None:
    made = await shop.v1.payment_intents.create_async(intent_params(amount=50, currency="JPY"))
    assert (made.amount, made.currency) == (50, "jpy")


async def test_an_unknown_intent_is_missing(shop: stripe.StripeClient) -> None:
    error = await refused(shop.v1.payment_intents.retrieve_async("pi_none"))
    assert (error.http_status, error.code) == (404, "resource_missing")


async def test_an_unknown_address_is_told_as_an_error_object(shop: stripe.StripeClient) -> None:
    error = await refused(shop.raw_request_async("get", "/v1/customers"))
    assert error.http_status == 404
    assert error.error is not None
    assert error.error.type == "invalid_request_error"


@pytest.mark.parametrize(
    ("number", "code"),
    [
        ("4242424242424241", "incorrect_number"),
        ("4111111111111111", "card_declined"),
    ],
)
async def test_only_the_published_numbers_are_taken(
    shop: stripe.StripeClient, number: str, code: str
) -> None:
    card = {"number": number, "exp_month": 12, "exp_year": 2040}
    error = await refused(
        shop.raw_request_async("post", "/v1/payment_methods", type="card", card=card)
    )
    assert (error.http_status, error.code) == (402, code)


async def test_a_card_of_the_past_is_refused(shop: stripe.StripeClient) -> None:
    card = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2020}
    error = await refused(
        shop.raw_request_async("post", "/v1/payment_methods", type="card", card=card)
    )
    assert error.code == "invalid_expiry_year"


async def challenged(shop: stripe.StripeClient, method: str) -> tuple[str, str]:
    made = await shop.v1.payment_intents.create_async(intent_params())
    asked = await shop.v1.payment_intents.confirm_async(
        made.id, {"payment_method": method, "return_url": RETURN_URL}
    )
    assert asked.status == "requires_action"
    assert asked.next_action is not None
    assert asked.next_action.redirect_to_url is not None
    assert asked.next_action.redirect_to_url.return_url == RETURN_URL
    return made.id, asked.next_action.redirect_to_url.url or ""


@pytest.mark.parametrize(
    "method", ["pm_card_threeDSecure2Required", "pm_card_authenticationRequired"]
)
async def test_3d_secure_is_completed_on_the_page_and_leads_back(
    shop: stripe.StripeClient, web_client: aiohttp.ClientSession, method: str
) -> None:
    item, url = await challenged(shop, method)
    async with web_client.get(url) as page:
        assert page.status == 200
        assert "Complete authentication" in await page.text()
    async with web_client.post(url, data={"outcome": "succeed"}, allow_redirects=False) as response:
        assert response.status == 303
        location = response.headers["Location"]
    assert location.startswith(f"{RETURN_URL}&payment_intent={item}")
    assert "redirect_status=succeeded" in location
    read = await shop.v1.payment_intents.retrieve_async(item)
    assert (read.status, read.next_action) == ("succeeded", None)
    async with web_client.get(url) as page:
        assert page.status == 410


async def test_failed_3d_secure_leaves_the_intent_payable(
    shop: stripe.StripeClient, web_client: aiohttp.ClientSession
) -> None:
    item, url = await challenged(shop, "pm_card_threeDSecure2Required")
    async with web_client.post(
        url, data={"outcome": "fail"}, headers={"Accept": "application/json"}
    ) as response:
        seen = await response.json()
    assert seen["status"] == "requires_payment_method"
    assert seen["last_payment_error"]["code"] == "payment_intent_authentication_failure"
    paid = await shop.v1.payment_intents.confirm_async(item, {"payment_method": "pm_card_visa"})
    assert paid.status == "succeeded"


async def test_a_card_may_be_declined_after_3d_secure(
    shop: stripe.StripeClient, web_client: aiohttp.ClientSession
) -> None:
    item, url = await challenged(shop, "pm_card_threeDSecureRequiredChargeDeclined")
    async with web_client.post(url, params={"outcome": "succeed"}, allow_redirects=False) as answer:
        assert "redirect_status=failed" in answer.headers["Location"]
    read = await shop.v1.payment_intents.retrieve_async(item)
    assert read.last_payment_error is not None
    assert read.last_payment_error.code == "card_declined"


async def test_an_off_session_payment_cannot_be_challenged(shop: stripe.StripeClient) -> None:
    error = await refused(
        shop.v1.payment_intents.create_async(
            intent_params(
                payment_method="pm_card_authenticationRequired", confirm=True, off_session=True
            )
        )
    )
    assert (error.http_status, error.code) == (402, "authentication_required")


Step = Callable[[stripe.StripeClient, str], Any]


@pytest.mark.parametrize(
    "step",
    [
        lambda shop, item: shop.v1.payment_intents.cancel_async(item),
        lambda shop, item: shop.v1.payment_intents.confirm_async(
            item, {"payment_method": "pm_card_visa"}
        ),
        lambda shop, item: shop.v1.payment_intents.capture_async(item),
        lambda shop, item: shop.v1.payment_intents.update_async(item, {"amount": 9900}),
    ],
    ids=["cancel", "confirm", "capture", "update"],
)
async def test_a_succeeded_intent_changes_no_more(shop: stripe.StripeClient, step: Step) -> None:
    made = await shop.v1.payment_intents.create_async(
        intent_params(payment_method="pm_card_visa", confirm=True)
    )
    error = await refused(step(shop, made.id))
    assert (error.http_status, error.code) == (400, "payment_intent_unexpected_state")
    assert error.error is not None
    assert error.error.payment_intent is not None
    assert error.error.payment_intent.status == "succeeded"


async def test_a_cancelled_intent_cannot_be_paid(shop: stripe.StripeClient) -> None:
    made = await shop.v1.payment_intents.create_async(intent_params())
    cancelled = await shop.v1.payment_intents.cancel_async(
        made.id, {"cancellation_reason": "abandoned"}
    )
    assert (cancelled.status, cancelled.cancellation_reason) == ("canceled", "abandoned")
    error = await refused(
        shop.v1.payment_intents.confirm_async(made.id, {"payment_method": "pm_card_visa"})
    )
    assert error.code == "payment_intent_unexpected_state"


async def test_a_challenge_ends_with_a_cancelled_intent(
    shop: stripe.StripeClient, web_client: aiohttp.ClientSession
) -> None:
    item, url = await challenged(shop, "pm_card_threeDSecure2Required")
    await shop.v1.payment_intents.cancel_async(item)
    async with web_client.post(url, data={"outcome": "succeed"}) as response:
        assert response.status == 410
    assert (await shop.v1.payment_intents.retrieve_async(item)).status == "canceled"


async def test_manual_capture_takes_a_part_and_releases_the_rest(
    shop: stripe.StripeClient,
) -> None:
    held = await shop.v1.payment_intents.create_async(
        intent_params(capture_method="manual", payment_method="pm_card_visa", confirm=True)
    )
    assert (held.status, held.amount_capturable, held.amount_received) == (
        "requires_capture",
        4200,
        0,
    )
    error = await refused(
        shop.v1.payment_intents.capture_async(held.id, {"amount_to_capture": 4201})
    )
    assert error.code == "amount_too_large"
    taken = await shop.v1.payment_intents.capture_async(held.id, {"amount_to_capture": 4000})
    assert (taken.status, taken.amount_received) == ("succeeded", 4000)
    refund = await shop.v1.refunds.create_async({"payment_intent": held.id})
    assert refund.amount == 4000


async def test_a_bank_debit_is_processing_until_it_settles(
    shop: stripe.StripeClient, stripe_lookalike: StripeLookalike
) -> None:
    good, bad = [
        await shop.v1.payment_intents.create_async(
            intent_params(currency="usd", payment_method=method, confirm=True)
        )
        for method in ("pm_usBankAccount_success", "pm_usBankAccount_debitNotAuthorized")
    ]
    assert (good.status, bad.status) == ("processing", "processing")
    error = await refused(shop.v1.payment_intents.cancel_async(good.id))
    assert error.code == "payment_intent_unexpected_state"
    assert stripe_lookalike.controls.settle() == 2
    assert (await shop.v1.payment_intents.retrieve_async(good.id)).status == "succeeded"
    failed = await shop.v1.payment_intents.retrieve_async(bad.id)
    assert (failed.status, failed.amount_received) == ("requires_payment_method", 0)


async def test_an_open_intent_is_updated_and_metadata_merged(shop: stripe.StripeClient) -> None:
    made = await shop.v1.payment_intents.create_async(intent_params(metadata={"a": "1", "b": "2"}))
    changed = await shop.v1.payment_intents.update_async(
        made.id, {"amount": 5000, "metadata": {"b": "", "c": "3"}, "description": "two seats"}
    )
    assert (changed.amount, changed.description) == (5000, "two seats")
    assert changed.metadata.to_dict() == {"a": "1", "c": "3"}


async def test_a_browser_of_another_origin_may_call(
    stripe_lookalike: StripeLookalike, web_client: aiohttp.ClientSession
) -> None:
    async with web_client.options(f"{stripe_lookalike.url}/v1/payment_methods") as response:
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"a=" + b"x" * 200_000, 413),
        (b"&".join(b"a%d=1" % n for n in range(300)), 400),
        (b"a[b][c][d][e][f]=1", 400),
        (b"a[b=1", 400),
        (b"[a]=1", 400),
        (b"a=1&a[b]=2", 400),
        (b"a=%ff", 400),
        (b"\xff=1", 400),
    ],
)
async def test_malformed_and_oversized_forms_are_refused(
    stripe_lookalike: StripeLookalike, web_client: aiohttp.ClientSession, body: bytes, status: int
) -> None:
    async with web_client.post(
        f"{stripe_lookalike.url}/v1/payment_intents",
        data=body,
        headers={"Authorization": f"Bearer {stripe_lookalike.secret_key}"},
    ) as response:
        assert response.status == status
        assert json.loads(await response.read())["error"]["type"] == "invalid_request_error"
