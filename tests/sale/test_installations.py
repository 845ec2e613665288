"""Several installations on one account: each does what is its own, and leaves the rest alone."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest
import stripe as library
from redis.asyncio import Redis

from devkit.stripe import StripeLookalike, render
from engine.core.ids import new_id
from engine.core.settings import Settings, SettingsError
from engine.payments.stripe import StripeProvider
from engine.sale.errors import OccurrenceUnknownError, OrderUnknownError
from tests.houses import small_house
from tests.sale.conftest import Box, box_office

LATE_MS = 600_001


@pytest.fixture
async def ours(valkey_url: str, redis_client: Redis, stripe: StripeLookalike) -> AsyncIterator[Box]:
    house = small_house()
    async with box_office(
        valkey_url, redis_client, stripe, house, installation="tickets.example.org"
    ) as made:
        yield made


def signed(box: Box, kind: str, document: object) -> tuple[bytes, str]:
    body = msgspec.json.encode(
        {"id": "evt_1", "type": kind, "created": 1, "data": {"object": document}}
    )
    header = library.WebhookSignature.generate_signature_header(
        body.decode(), box.stripe.webhook_secret
    )
    return body, header


def intent(metadata: dict[str, str]) -> dict[str, object]:
    return {
        "id": "pi_other",
        "amount": 5000,
        "amount_received": 5000,
        "currency": "eur",
        "status": "succeeded",
        "metadata": metadata,
    }


async def test_a_payment_names_who_made_it(ours: Box) -> None:
    await ours.pending(new_id())
    (made,) = ours.stripe.state.intents
    assert made.metadata["installation"] == "tickets.example.org"
    assert set(made.metadata) == {"order", "occurrence", "installation"}


@pytest.mark.parametrize("known", ["occurrence", "order", "nothing"])
@pytest.mark.parametrize(
    "kind",
    [
        *("payment_intent.succeeded", "payment_intent.canceled", "payment_intent.processing"),
        "payment_intent.payment_failed",
    ],
)
async def test_what_another_installation_is_told_is_passed_over(
    ours: Box, known: str, kind: str
) -> None:
    buyer = new_id()
    checkout = await ours.pending(buyer)
    metadata = {
        "order": checkout.order.id if known == "order" else new_id(),
        "occurrence": new_id() if known == "nothing" else ours.occurrence,
        "installation": "other.example.org",
    }
    await ours.sale.handle_webhook(*signed(ours, kind, intent(metadata)))
    assert ours.sale.webhooks_foreign == 1
    assert (await ours.order(buyer, checkout.order.id)).state == "pending"


async def test_a_refund_of_another_installation_is_passed_over(ours: Box) -> None:
    metadata = {"order": new_id(), "occurrence": new_id(), "installation": "other.example.org"}
    charge = {
        "id": "ch_1",
        "amount": 1,
        "currency": "eur",
        "amount_captured": 1,
        "amount_refunded": 1,
        "payment_intent": "pi_1",
        "metadata": metadata,
    }
    await ours.sale.handle_webhook(*signed(ours, "charge.refunded", charge))
    assert ours.sale.webhooks_foreign == 1


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        ("customer.created", {"id": "cus_1"}),
        ("payment_intent.succeeded", intent({})),
        ("payment_intent.succeeded", intent({"order": "17"})),
        ("payout.paid", {}),
        ("a.kind.of.tomorrow", {"anything": [1, None]}),
    ],
)
async def test_kinds_that_nobody_wants_are_counted(ours: Box, kind: str, document: object) -> None:
    await ours.sale.handle_webhook(*signed(ours, kind, document))
    assert (ours.sale.webhooks_unwanted, ours.sale.webhooks_foreign) == (1, 0)


async def test_what_is_ours_and_not_here_is_not_swallowed(ours: Box) -> None:
    """The store was lost: the provider repeats it until the sale is rebuilt."""
    metadata = {"order": new_id(), "occurrence": new_id(), "installation": "tickets.example.org"}
    with pytest.raises(OccurrenceUnknownError):
        await ours.sale.handle_webhook(*signed(ours, "payment_intent.succeeded", intent(metadata)))
    metadata["occurrence"] = ours.occurrence
    with pytest.raises(OrderUnknownError):
        await ours.sale.handle_webhook(*signed(ours, "payment_intent.succeeded", intent(metadata)))


async def test_what_names_nobody_is_ours_where_its_sale_is(ours: Box) -> None:
    """Payments that were made before they named their installation."""
    checkout = await ours.pending(buyer := new_id())
    assert checkout.payment is not None
    (made,) = ours.stripe.state.intents
    del made.metadata["installation"]
    await ours.pay(checkout)
    await ours.until_state(buyer, checkout.order.id, "confirmed")
    document = render.intent(made, ours.stripe.state)
    document["metadata"] = {"order": new_id(), "occurrence": new_id()}
    await ours.sale.handle_webhook(*signed(ours, "payment_intent.succeeded", document))
    assert ours.sale.webhooks_foreign == 1


async def test_the_audit_sees_its_own_payments_only(ours: Box, stripe: StripeLookalike) -> None:
    await ours.pending(new_id())
    other = StripeProvider(
        secret_key=stripe.secret_key,
        publishable_key=stripe.publishable_key,
        webhook_secret=stripe.webhook_secret,
        api_base=stripe.url,
        timeout_s=1.0,
        installation="other.example.org",
    )
    theirs = await other.create_intent(
        order=new_id(),
        occurrence=new_id(),
        amount=100,
        currency="EUR",
        email="",
        description="",
    )
    listed = [item.id async for item in other.intents(created_after_s=0)]
    assert listed == [theirs.id]
    provider = ours.sale._provider
    assert theirs.id not in [item.id async for item in provider.intents(created_after_s=0)]
    assert await provider.find_intent(order=theirs.order, placed_at_s=theirs_at(stripe)) is None
    found = await other.find_intent(order=theirs.order, placed_at_s=theirs_at(stripe))
    assert found == theirs
    await other.close()


def theirs_at(stripe: StripeLookalike) -> int:
    return next(iter(stripe.state.intents)).created


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        (Settings(installation="north"), "north"),
        (Settings(public_url="https://Tickets.example.org/"), "tickets.example.org"),
        (Settings(public_url="http://127.0.0.1:8080"), "127.0.0.1:8080"),
        (Settings(public_url="https://example.org/" + "a" * 500), "example.org/" + "a" * 188),
    ],
)
def test_the_name_of_an_installation(settings: Settings, name: str) -> None:
    assert settings.installation_name == name


@pytest.mark.parametrize("name", ["a" * 201, "two\nlines"])
def test_a_name_that_the_provider_would_not_keep_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="ONSALE_INSTALLATION"):
        Settings.from_environment({"ONSALE_INSTALLATION": name})


async def test_a_confirmed_order_has_no_reason_of_its_cancelling(ours: Box) -> None:
    """The money came between the beginning of the cancelling and its end."""
    buyer = new_id()
    for reason in ("expired", "buyer"):
        checkout = await ours.pending(buyer)
        await ours.sale.commands.cancel(ours.place, checkout.order.id, reason, 30_000)
        await ours.pay(checkout)
        view = await ours.until_state(buyer, checkout.order.id, "confirmed")
        assert (view.cancel_reason, view.cancelled_at) == ("", None)
