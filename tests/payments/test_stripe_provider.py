from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import msgspec
import pytest
import stripe

from devkit.stripe import Fault, StripeLookalike
from engine.core.ids import new_id
from engine.core.settings import Settings
from engine.payments import make_provider
from engine.payments.errors import PaymentRefusedError, PaymentUnavailableError
from engine.payments.provider import Funds, Intent
from engine.payments.stripe import StripeProvider
from tests.payments.conftest import intent_params, provider_of


async def create(provider: StripeProvider, order: str = "", amount: int = 4200) -> Intent:
    return await provider.create_intent(
        order=order or new_id(),
        occurrence="0" * 32,
        amount=amount,
        currency="EUR",
        email="buyer@example.org",
        description="2 seats",
    )


async def paid(
    provider: StripeProvider, shop: stripe.StripeClient, method: str = "pm_card_visa"
) -> Intent:
    made = await create(provider)
    await shop.v1.payment_intents.confirm_async(made.id, {"payment_method": method})
    return await provider.retrieve_intent(made.id)


async def test_an_intent_carries_the_order_and_what_the_buyer_needs(
    provider: StripeProvider, shop: stripe.StripeClient
) -> None:
    order = new_id()
    made = await create(provider, order)
    assert made == Intent(
        id=made.id,
        order=order,
        occurrence="0" * 32,
        status="open",
        amount=4200,
        currency="EUR",
        client_secret=made.client_secret,
    )
    assert made.client_secret.startswith(made.id)
    seen = await shop.v1.payment_intents.retrieve_async(made.id)
    assert seen.automatic_payment_methods is not None
    assert seen.automatic_payment_methods.enabled
    assert (seen.receipt_email, seen.description) == ("buyer@example.org", "2 seats")


async def test_asking_twice_creates_one_intent(
    provider: StripeProvider, stripe_lookalike: StripeLookalike
) -> None:
    order = new_id()
    made = await asyncio.gather(*[create(provider, order) for _ in range(5)])
    assert len({intent.id for intent in made}) == 1
    assert len(stripe_lookalike.state.intents) == 1


async def test_the_same_order_with_another_amount_is_refused(provider: StripeProvider) -> None:
    order = new_id()
    await create(provider, order)
    with pytest.raises(PaymentRefusedError) as caught:
        await create(provider, order, amount=4300)
    assert caught.value.extra["provider_code"] == "idempotency_error"


@pytest.mark.parametrize(
    "fault", [Fault(mode="drop", when="after"), Fault(mode="unavailable")], ids=lambda it: it.mode
)
async def test_a_broken_call_is_repeated_and_done_once(
    provider: StripeProvider, stripe_lookalike: StripeLookalike, fault: Fault
) -> None:
    stripe_lookalike.fail(fault)
    await create(provider)
    assert list(stripe_lookalike.faults) == []
    assert len(stripe_lookalike.state.intents) == 1


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_saved_500_does_not_lock_an_order_out(
    provider: StripeProvider, stripe_lookalike: StripeLookalike, when: str
) -> None:
    order = new_id()
    stripe_lookalike.fail(msgspec.convert({"mode": "error", "when": when}, Fault))
    with pytest.raises(PaymentUnavailableError):
        await create(provider, order)
    made = await create(provider, order)
    assert (await create(provider, order)).id == made.id


async def test_an_order_whose_keys_all_replay_a_500_stays_unavailable(
    provider: StripeProvider, stripe_lookalike: StripeLookalike
) -> None:
    order = new_id()
    stripe_lookalike.fail(Fault(mode="error", count=3))
    for _ in range(5):
        with pytest.raises(PaymentUnavailableError):
            await create(provider, order)
    assert list(stripe_lookalike.faults) == []


Call = Callable[[StripeProvider, str], Awaitable[object]]


async def _listed(provider: StripeProvider) -> list[Intent]:
    return [intent async for intent in provider.intents(created_after_s=0)]


CALLS: dict[str, Call] = {
    "create": lambda provider, _: create(provider),
    "retrieve": lambda provider, item: provider.retrieve_intent(item),
    "cancel": lambda provider, item: provider.cancel_intent(item),
    "refund": lambda provider, item: provider.refund(
        intent=item, order=new_id(), amount=1, reason="late"
    ),
    "intents": lambda provider, _: _listed(provider),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
@pytest.mark.parametrize("mode", ["error", "unavailable", "rate_limit", "hang", "drop"])
async def test_a_provider_that_is_away_is_unavailable_within_the_timeout(
    stripe_lookalike: StripeLookalike, shop: stripe.StripeClient, call: Call, mode: str
) -> None:
    async with provider_of(stripe_lookalike, timeout_s=0.3) as provider:
        made = await paid(provider, shop)
        fault = msgspec.convert({"mode": mode, "count": 1_000}, Fault)
        stripe_lookalike.fail(fault)
        with pytest.raises(PaymentUnavailableError) as caught:
            await asyncio.wait_for(call(provider, made.id), 10)
        assert caught.value.retry_after_s is not None
        if mode == "hang":  # the time was up before a second attempt (0.5 s) was due
            assert fault.count == 999


async def test_nobody_listening_is_unavailable(stripe_lookalike: StripeLookalike) -> None:
    async with provider_of(
        stripe_lookalike, timeout_s=0.3, api_base="http://127.0.0.1:9"
    ) as provider:
        with pytest.raises(PaymentUnavailableError):
            await create(provider)


async def test_an_answer_that_is_no_json_is_unavailable(
    stripe_lookalike: StripeLookalike,
) -> None:
    base = f"{stripe_lookalike.url}/3ds/pi/x?"  # answers HTML, whatever is asked
    async with provider_of(stripe_lookalike, timeout_s=0.3, api_base=base) as provider:
        with pytest.raises(PaymentUnavailableError):
            await provider.retrieve_intent("pi_x")


async def test_a_wrong_key_is_not_the_orders_fault(
    stripe_lookalike: StripeLookalike, caplog: pytest.LogCaptureFixture
) -> None:
    async with provider_of(stripe_lookalike, secret_key="sk_test_wrong") as provider:
        with pytest.raises(PaymentUnavailableError) as caught:
            await create(provider)
        assert "STRIPE_SECRET_KEY" in caplog.text
        assert "KEY" not in caught.value.detail


async def test_refusals_carry_the_providers_code(provider: StripeProvider) -> None:
    for call, code in (
        (create(provider, amount=1), "amount_too_small"),
        (provider.retrieve_intent("pi_none"), "resource_missing"),
        (provider.cancel_intent("pi_none"), "resource_missing"),
        (
            provider.refund(intent="pi_none", order=new_id(), amount=1, reason="late"),
            "resource_missing",
        ),
    ):
        with pytest.raises(PaymentRefusedError) as caught:
            await call
        assert caught.value.extra["provider_code"] == code


async def test_an_intent_that_belongs_to_no_order_is_refused(
    provider: StripeProvider, shop: stripe.StripeClient
) -> None:
    for metadata in (
        {},
        {"order": "1", "occurrence": new_id()},
        {"order": new_id(), "occurrence": "1"},
    ):
        foreign = await shop.v1.payment_intents.create_async(intent_params(metadata=metadata))
        with pytest.raises(PaymentRefusedError) as caught:
            await provider.retrieve_intent(foreign.id)
        assert caught.value.extra["provider_code"] == "not_an_order"
    assert await _listed(provider) == []


async def test_states_are_told_in_the_sales_terms(
    provider: StripeProvider, shop: stripe.StripeClient
) -> None:
    done = await paid(provider, shop)
    assert (done.status, done.captured) == ("succeeded", 4200)
    made = await create(provider)
    with pytest.raises(stripe.CardError):
        await shop.v1.payment_intents.confirm_async(
            made.id, {"payment_method": "pm_card_chargeDeclinedInsufficientFunds"}
        )
    declined = await provider.retrieve_intent(made.id)
    assert (declined.status, declined.failure) == ("open", "insufficient_funds")
    await shop.v1.payment_intents.confirm_async(
        made.id, {"payment_method": "pm_card_threeDSecure2Required"}
    )
    assert (await provider.retrieve_intent(made.id)).status == "open"
    assert (await provider.cancel_intent(made.id)).status == "canceled"
    assert (await provider.cancel_intent(made.id)).status == "canceled"


async def test_cancelling_what_was_paid_returns_it_as_it_is(
    provider: StripeProvider, shop: stripe.StripeClient
) -> None:
    done = await paid(provider, shop)
    assert await provider.cancel_intent(done.id) == done
    debit = await paid(provider, shop, "pm_usBankAccount_success")
    assert (await provider.cancel_intent(debit.id)).status == "processing"


async def test_a_refund_is_given_once_for_the_same_reason(
    provider: StripeProvider, shop: stripe.StripeClient, stripe_lookalike: StripeLookalike
) -> None:
    done = await paid(provider, shop)

    async def refund(amount: int, reason: str) -> str:
        given = await provider.refund(
            intent=done.id, order=done.order, amount=amount, reason=reason
        )
        assert (given.intent, given.amount, given.status) == (done.id, amount, "succeeded")
        return given.id

    first = await refund(1000, "late capture")
    assert await refund(1000, "late capture") == first
    assert await refund(1000, "event cancelled") != first
    assert await refund(900, "event cancelled") != first
    assert (await provider.retrieve_intent(done.id)).refunded == 2900
    with pytest.raises(PaymentRefusedError):
        await refund(1301, "too much")
    assert len(stripe_lookalike.state.refunds) == 3


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_500_in_mid_refund_refunds_once(
    provider: StripeProvider,
    shop: stripe.StripeClient,
    stripe_lookalike: StripeLookalike,
    when: str,
) -> None:
    done = await paid(provider, shop)
    stripe_lookalike.fail(msgspec.convert({"mode": "error", "when": when, "method": "POST"}, Fault))

    async def refund() -> int:
        given = await provider.refund(intent=done.id, order=done.order, amount=1000, reason="late")
        return given.amount

    with pytest.raises(PaymentUnavailableError):
        await refund()
    assert [await refund(), await refund()] == [1000, 1000]
    assert (await provider.retrieve_intent(done.id)).refunded == 1000


async def test_refunds_at_once_refund_once(
    provider: StripeProvider, shop: stripe.StripeClient, stripe_lookalike: StripeLookalike
) -> None:
    done = await paid(provider, shop)
    given = await asyncio.gather(
        *[
            provider.refund(intent=done.id, order=done.order, amount=100, reason="late")
            for _ in range(8)
        ]
    )
    assert len({refund.id for refund in given}) == 1
    assert len(stripe_lookalike.state.refunds) == 1


async def test_a_refund_that_the_bank_sent_back_can_be_given_again(
    provider: StripeProvider, shop: stripe.StripeClient, stripe_lookalike: StripeLookalike
) -> None:
    done = await paid(provider, shop, "pm_card_refundFail")

    async def refund() -> str:
        given = await provider.refund(intent=done.id, order=done.order, amount=4200, reason="late")
        return given.id

    first = await refund()
    stripe_lookalike.controls.settle()
    assert (await provider.retrieve_intent(done.id)).refunded == 0
    assert await refund() != first


async def test_a_slow_refund_is_pending(
    provider: StripeProvider, shop: stripe.StripeClient
) -> None:
    done = await paid(provider, shop, "pm_card_pendingRefund")
    given = await provider.refund(intent=done.id, order=done.order, amount=4200, reason="late")
    assert given.status == "pending"


async def test_another_attempt_of_the_same_refund_is_another_refund(
    provider: StripeProvider, shop: stripe.StripeClient
) -> None:
    done = await paid(provider, shop)

    async def refund(attempt: str) -> str:
        given = await provider.refund(
            intent=done.id, order=done.order, amount=1000, reason="late", attempt=attempt
        )
        return given.id

    first = await refund("0-0-0")
    assert await refund("0-0-0") == first
    assert await refund("1000-0-0") != first


@pytest.mark.parametrize(
    ("taken", "code"),
    [(4200, "charge_already_refunded"), (1000, "invalid_request_error"), (0, "charge_disputed")],
)
async def test_what_cannot_be_refunded_is_a_refusal_and_no_outage(
    provider: StripeProvider,
    shop: stripe.StripeClient,
    stripe_lookalike: StripeLookalike,
    taken: int,
    code: str,
) -> None:
    done = await paid(provider, shop)
    if taken:
        stripe_lookalike.money.refund(done.id, taken)
    else:
        stripe_lookalike.money.dispute(done.id)
    with pytest.raises(PaymentRefusedError) as caught:
        await provider.refund(intent=done.id, order=done.order, amount=4200, reason="late")
    assert caught.value.extra["provider_code"] == code


async def funds_of(provider: StripeProvider, intent: str, *, closely: bool = False) -> Funds:
    return await provider.read_funds(await provider.retrieve_intent(intent), closely=closely)


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("succeeded", {"refunded": 700}),
        ("pending", {"refunding": 700}),
        ("requires_action", {"refunding": 700}),
        ("failed", {"failed": 1, "failure": "declined"}),
        ("canceled", {"failed": 1, "failure": "canceled"}),
    ],
)
async def test_each_status_of_a_refund_is_told_for_what_it_is(
    provider: StripeProvider,
    shop: stripe.StripeClient,
    stripe_lookalike: StripeLookalike,
    status: str,
    told: dict[str, object],
) -> None:
    done = await paid(provider, shop)
    refund = stripe_lookalike.money.refund(done.id, 700, status)  # type: ignore[arg-type]
    alive = "" if "failed" in told else refund.id
    expected = msgspec.convert(
        {"captured": 4200, "currency": "EUR", "refund_id": alive, **told}, Funds
    )
    assert await funds_of(provider, done.id, closely=True) == expected
    away = Funds(captured=4200, currency="EUR")
    assert await funds_of(provider, done.id) == (away if "failed" in told else expected)


@pytest.mark.parametrize(
    ("status", "state", "withdrawn"),
    [
        ("warning_needs_response", "inquiry", 0),
        ("warning_under_review", "inquiry", 0),
        ("warning_closed", "won", 0),
        ("needs_response", "open", 4200),
        ("under_review", "open", 4200),
        ("won", "won", 0),
        ("lost", "lost", 4200),
    ],
)
async def test_each_status_of_a_dispute_is_told_for_what_it_is(
    provider: StripeProvider,
    shop: stripe.StripeClient,
    stripe_lookalike: StripeLookalike,
    status: str,
    state: str,
    withdrawn: int,
) -> None:
    done = await paid(provider, shop)
    stripe_lookalike.money.dispute(done.id)
    stripe_lookalike.money.end_dispute(done.id, status)
    funds = await funds_of(provider, done.id)
    assert (funds.dispute, funds.withdrawn) == (state, withdrawn)


@pytest.mark.parametrize("amount", [4000, 5000])
async def test_what_a_partial_capture_lets_go_was_not_given_back(
    provider: StripeProvider, stripe_lookalike: StripeLookalike, amount: int
) -> None:
    made = await create(provider)
    stripe_lookalike.money.capture(made.id, amount)
    read = await provider.retrieve_intent(made.id)
    assert (read.captured, read.refunded) == (amount, 0)
    stripe_lookalike.money.refund(made.id, 100)
    read = await provider.retrieve_intent(made.id)
    assert (read.captured, read.refunded) == (amount, 100)


async def test_what_happens_to_money_is_listed_with_its_intent(
    provider: StripeProvider, shop: stripe.StripeClient, stripe_lookalike: StripeLookalike
) -> None:
    done = await paid(provider, shop)
    stripe_lookalike.money.refund(done.id, 100)
    stripe_lookalike.money.end_refund("failed", intent=done.id)
    stripe_lookalike.money.dispute(done.id)
    stripe_lookalike.money.end_dispute(done.id, "won")
    found = [event async for event in provider.money_events(since_s=0)]
    assert {event.payment for event in found} == {done.id}
    assert {event.kind for event in found} == {
        "payment_intent.succeeded", "charge.refunded", "refund.created", "refund.failed",
        "refund.updated", "charge.refund.updated", "charge.dispute.created",
        "charge.dispute.funds_withdrawn", "charge.dispute.closed",
        "charge.dispute.funds_reinstated",
    }  # fmt: skip
    assert [event.kind for event in found if event.intent] == ["payment_intent.succeeded"]
    late = int(time.time()) + 60
    assert [event async for event in provider.money_events(since_s=late)] == []


async def test_all_intents_are_listed_over_pages_with_what_was_refunded(
    provider: StripeProvider, shop: stripe.StripeClient
) -> None:
    before = int(time.time())
    done = await paid(provider, shop)
    await provider.refund(intent=done.id, order=done.order, amount=200, reason="late")
    made = [(await create(provider)).id for _ in range(110)]
    listed = [intent async for intent in provider.intents(created_after_s=before)]
    assert [intent.id for intent in listed] == [*made[::-1], done.id]
    assert (listed[-1].captured, listed[-1].refunded) == (4200, 200)
    assert [i async for i in provider.intents(created_after_s=int(time.time()) + 60)] == []


async def test_a_provider_is_made_from_the_settings(stripe_lookalike: StripeLookalike) -> None:
    provider = make_provider(Settings(stripe_api_base=stripe_lookalike.url))
    assert (provider.name, provider.publishable_key) == ("stripe", "pk_test_onsale")
    with pytest.raises(PaymentRefusedError):
        await provider.retrieve_intent("pi_none")
    await provider.close()
    await provider.close()
