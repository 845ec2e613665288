"""A payment that the provider refuses for good ends its order at once; an outage does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from devkit.stripe import StripeLookalike
from devkit.stripe.faults import Fault
from engine.core.ids import new_id
from engine.core.money import Fees
from engine.payments.errors import PaymentRefusedError, PaymentUnavailableError
from engine.payments.provider import Intent
from engine.platform.valkey import keys
from engine.platform.valkey.errors import StoreUnavailableError
from engine.sale.errors import TotalNotChargeableError
from engine.sale.inventory import inspection, publication
from engine.sale.inventory.snapshot import Quota, Snapshot, TicketType, Tier
from engine.sale.requests import LineRequest
from tests.houses import small_house
from tests.sale.conftest import SHARD, Box, box_office, idempotency

LATE_MS = 600_001
AGAIN_MS = 30_001
CREATE = {"method": "POST", "path": "payment_intents"}


def fault(**values: Any) -> Fault:
    return msgspec.convert({"count": 1_000, **CREATE, **values}, Fault)


async def free_of(box: Box, kind: str) -> int:
    counters = await inspection.read_counters(box.client, SHARD, box.occurrence)
    return next(counter.free for counter in counters if counter.key == kind)


async def records(box: Box) -> list[str]:
    entries: Any = await box.client.xrange(keys.stream(SHARD))
    return [fields[b"k"].decode() for _, fields in entries]


async def refusal(box: Box, buyer: str, hold: str) -> PaymentRefusedError:
    with pytest.raises(PaymentRefusedError) as caught:
        await box.checkout(buyer, hold)
    return caught.value


@pytest.mark.parametrize(
    ("status", "code", "param"),
    [
        (400, "email_invalid", "receipt_email"),
        (400, "amount_too_small", "amount"),
        (400, "amount_too_large", "amount"),
        (400, "invalid_amount", "amount"),
        (400, "parameter_unknown", "x"),
        (402, "card_declined", ""),
        (404, "resource_missing", ""),
    ],
)
async def test_a_refused_payment_ends_the_order_and_frees_all_at_once(
    box: Box, status: int, code: str, param: str
) -> None:
    buyer = new_id()
    before = await free_of(box, "category:Stalls")
    hold = await box.hold(buyer)
    box.stripe.fail(fault(mode="refuse", status=status, code=code, param=param))
    error = await refusal(box, buyer, hold.id)
    assert error.extra["provider_code"] == code
    order = await box.order(buyer, error.extra["order"])
    assert (order.state, order.cancel_reason) == ("cancelled", "payment_refused")
    assert await free_of(box, "category:Stalls") == before
    # the same again, whatever the key, and without a further call
    calls = box.stripe.calls.total()
    for _ in range(3):
        again = await refusal(box, buyer, hold.id)
        assert (again.code, again.extra, again.detail) == (error.code, error.extra, error.detail)
    assert box.stripe.calls.total() == calls
    box.stripe.faults.clear()
    assert (await box.pending(buyer)).payment is not None  # the buyer is free to buy
    await box.advance(LATE_MS)
    await box.sale.expiry.run_once()
    assert (await records(box))[:3] == ["order.placed", "order.cancelling", "order.cancelled"]


@pytest.mark.parametrize(
    "outage",
    [
        *({"mode": "error"}, {"mode": "unavailable"}, {"mode": "rate_limit"}, {"mode": "hang"}),
        *({"mode": "drop"}, {"mode": "lock"}),
        *({"mode": "refuse", "status": 401}, {"mode": "refuse", "status": 403}),
        *({"mode": "refuse", "status": 429}, {"mode": "refuse", "code": "lock_timeout"}),
        {"mode": "refuse", "code": "rate_limit"},
    ],
    ids=str,
)
async def test_an_outage_is_no_refusal(box: Box, outage: dict[str, Any]) -> None:
    buyer = new_id()
    hold = await box.hold(buyer)
    box.stripe.fail(fault(**outage))
    with pytest.raises(PaymentUnavailableError):
        await box.checkout(buyer, hold.id)
    assert await records(box) == ["order.placed"]
    box.stripe.faults.clear()
    checkout = await box.checkout(buyer, hold.id)
    assert checkout.order.state == "pending"
    await box.pay(checkout)
    await box.until_state(buyer, checkout.order.id, "confirmed")


@pytest.mark.parametrize("step", ["cancel", "release_order"])
async def test_killed_between_the_refusal_and_the_end_the_worker_ends_it(
    box: Box, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    async def dies(*_: object) -> list[object]:
        raise StoreUnavailableError

    buyer = new_id()
    before = await free_of(box, "category:Stalls")
    hold = await box.hold(buyer)
    box.stripe.fail(fault(mode="refuse", code="email_invalid"))
    with monkeypatch.context() as patch:
        patch.setattr(box.sale.commands, step, dies)
        with pytest.raises(StoreUnavailableError):
            await box.checkout(buyer, hold.id)
    await box.advance(LATE_MS)
    await box.sale.expiry.run_once()
    assert await free_of(box, "category:Stalls") == before
    assert (await records(box))[-1] == "order.cancelled"
    await box.advance(LATE_MS)
    calls = box.stripe.calls.total()
    await box.sale.expiry.run_once()
    assert box.stripe.calls.total() == calls  # it is not repeated for ever


async def test_an_order_that_ran_out_without_an_intent_ends_when_that_is_refused(box: Box) -> None:
    """The provider was away at checkout, and refuses when it is back."""
    buyer = new_id()
    hold = await box.hold(buyer)
    box.stripe.fail(fault(mode="unavailable"))
    with pytest.raises(PaymentUnavailableError):
        await box.checkout(buyer, hold.id)
    box.stripe.faults.clear()
    box.stripe.fail(fault(mode="refuse", code="email_invalid"))
    await box.advance(LATE_MS)
    await box.sale.expiry.run_once()
    assert (await records(box))[-1] == "order.cancelled"


async def test_a_refusal_beside_an_intent_that_was_made_frees_nothing(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes make the payment of one order: one is refused, the other was not."""
    buyer = new_id()
    checkout = await box.pending(buyer)
    published = await box.sale.published(box.occurrence)
    order = await box.sale.settlement.read(published, checkout.order.id)
    error = PaymentRefusedError("no", provider_code="email_invalid")
    after = await box.sale.settlement.refuse(published, order, error)
    assert (after.state, after.cancel_reason) == ("cancelling", "payment_refused")
    await box.pay(checkout)  # the money that comes meanwhile is not lost
    order_view = await box.until_state(buyer, order.id, "confirmed")
    assert (order_view.cancel_reason, order_view.cancelled_at) == ("", None)


async def test_an_order_that_ended_while_its_payment_was_made_is_not_paid(box: Box) -> None:
    """The creation hangs, the order runs out meanwhile, then the answer comes."""
    buyer = new_id()
    hold = await box.hold(buyer)
    box.stripe.fail(fault(mode="delay", delay_s=0.2, count=1))
    checkout = asyncio.create_task(box.checkout(buyer, hold.id))

    async def placed() -> bool:
        return await records(box) == ["order.placed"]

    await box.until(placed)
    published = await box.sale.published(box.occurrence)
    found, order_id = await box.sale.holds.read_for_order(published, buyer, hold.id)
    assert found is None
    await box.sale.commands.cancel(box.place, order_id, "expired", 30_000)
    await box.sale.commands.release_order(box.place, order_id, "")
    view = await checkout
    assert (view.order.state, view.payment) == ("cancelled", None)
    assert [intent.status for intent in box.stripe.state.intents] == ["canceled"]


async def test_a_cancelled_stray_intent_does_not_cancel_the_order(box: Box) -> None:
    buyer = new_id()
    checkout = await box.pending(buyer)
    published = await box.sale.published(box.occurrence)
    order = await box.sale.settlement.read(published, checkout.order.id)
    stray = Intent(
        id="pi_stray",
        order=order.id,
        occurrence=order.occurrence,
        status="canceled",
        amount=order.total,
        currency="EUR",
    )
    assert (await box.sale.settlement.apply(published, order, stray)).state == "pending"


async def killed_before_the_note(
    box: Box, monkeypatch: pytest.MonkeyPatch, buyer: str, hold: str
) -> None:
    """The provider has made the payment, and the process dies before it is noted."""

    async def dies(*_: object) -> list[object]:
        raise StoreUnavailableError

    with monkeypatch.context() as patch:
        patch.setattr(box.sale.commands, "attach", dies)
        with pytest.raises(StoreUnavailableError):
            await box.checkout(buyer, hold)


async def test_a_renamed_event_does_not_change_what_the_provider_was_told(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    buyer = new_id()
    hold = await box.hold(buyer)
    await killed_before_the_note(box, monkeypatch, buyer, hold.id)
    assert len(box.stripe.state.intents) == 1  # made, and the answer was lost
    renamed = msgspec.structs.replace(box.snapshot, event_name="Quite another evening")
    await publication.republish(box.client, renamed)

    async def seen() -> bool:
        published = await box.sale.published(box.occurrence)
        return published.snapshot.event_name == renamed.event_name

    await box.until(seen)
    checkout = await box.checkout(buyer, hold.id)
    (intent,) = box.stripe.state.intents
    assert checkout.payment is not None
    assert (checkout.payment.intent, intent.description) == (intent.id, "An evening")
    assert box.stripe.calls["GET /v1/payment_intents"] == 0  # it had not to be looked for


async def test_an_intent_made_with_other_particulars_is_found_and_not_a_refusal(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier version of the program told the provider something else under the same key."""
    buyer = new_id()
    hold = await box.hold(buyer)
    await killed_before_the_note(box, monkeypatch, buyer, hold.id)
    box.sale._provider._installation = "renamed"  # type: ignore[attr-defined]
    checkout = await box.checkout(buyer, hold.id)
    (intent,) = box.stripe.state.intents
    assert checkout.payment is not None
    assert checkout.payment.intent == intent.id
    await box.pay(checkout)
    await box.until_state(buyer, checkout.order.id, "confirmed")


def mixed_house() -> Snapshot:
    """Types that can be charged each, and not in every mix; a free one beside them."""

    def kind(code: str, price: int, **changes: Any) -> TicketType:
        return TicketType(
            code=code,
            name=code,
            kind="general",
            quotas=(0,),
            tiers=(Tier(code="only", name="Only", price=price),),
            **changes,
        )

    return small_house(
        quotas=(Quota(code="floor", name="Floor", capacity=50),),
        ticket_types=(
            kind("box", 60_000_000, max_per_order=1),
            kind("suite", 50_000_000, max_per_order=1),
            kind("cheap", 20, min_per_order=1),
            kind("free", 0),
        ),
        fees=Fees(),
        tax_rate_bp=0,
        categories=(),
        sections=(),
    )


@pytest.fixture
async def mixed(
    valkey_url: str, redis_client: Redis, stripe: StripeLookalike
) -> AsyncIterator[Box]:
    async with box_office(valkey_url, redis_client, stripe, mixed_house()) as made:
        yield made


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ({"box": 1, "suite": 1}, "too_large"),
        ({"cheap": 1}, "too_small"),
        ({"cheap": 2, "free": 3}, "too_small"),
        ({"cheap": 3, "free": 1}, None),
        ({"free": 4}, None),
        ({"box": 1}, None),
    ],
    ids=str,
)
async def test_a_mix_that_cannot_be_charged_is_refused_before_anything_is_tied_to_it(
    mixed: Box, lines: dict[str, int], reason: str | None
) -> None:
    buyer = new_id()
    hold = await mixed.hold(
        buyer, *(LineRequest(ticket_type=code, quantity=n) for code, n in lines.items())
    )
    if reason is None:
        assert (await mixed.checkout(buyer, hold.id)).order.state in {"pending", "confirmed"}
        return
    key = idempotency()
    for _ in range(2):
        with pytest.raises(TotalNotChargeableError) as caught:
            await mixed.checkout(buyer, hold.id, key)
        assert caught.value.extra["reason"] == reason
    after = await mixed.sale.holds.read(buyer, mixed.occurrence, hold.id)
    assert (after.version, after.expires_at) == (hold.version, hold.expires_at)
    assert await records(mixed) == []
    assert mixed.stripe.calls.total() == 0


async def test_totals_of_three_decimal_currencies_keep_to_their_step(
    valkey_url: str, redis_client: Redis, stripe: StripeLookalike
) -> None:
    house = small_house(
        currency="KWD",
        fees=Fees(platform_percent_bp=333, payment_percent_bp=141, payment_fixed=20),
        tax_rate_bp=777,
    )
    async with box_office(valkey_url, redis_client, stripe, house) as box:
        for quantity in (1, 2, 3, 5):
            buyer = new_id()
            checkout = await box.pending(
                buyer, LineRequest(ticket_type="stalls", quantity=quantity, allow_split=True)
            )
            assert checkout.order.total % 10 == 0
            await box.pay(checkout)
            await box.until_state(buyer, checkout.order.id, "confirmed")
