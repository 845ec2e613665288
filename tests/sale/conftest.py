"""A sale of a small house, with the real Stripe library in front of the look-alike."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from redis.asyncio import Redis

from devkit.stripe import StripeLookalike
from engine.core.errors import OnsaleError
from engine.core.ids import new_id
from engine.core.settings import Settings
from engine.payments.stripe import StripeProvider
from engine.platform.http.idempotency import Idempotency
from engine.platform.valkey import keys
from engine.platform.valkey.connections import connect
from engine.sale.documents import Order
from engine.sale.inventory import inspection, publication
from engine.sale.inventory.snapshot import Snapshot
from engine.sale.requests import CheckoutRequest, HoldRequest, LineRequest
from engine.sale.service import Sale
from engine.sale.views import CheckoutView, HoldView, OrderView
from tests.clocks import put_clock_ahead
from tests.conservation import assert_conserved
from tests.houses import small_house

SHARD = 5


def idempotency(body: bytes = b"b" * 16) -> Idempotency:
    return Idempotency(key_digest=bytes.fromhex(new_id()), body_digest=body)


def intent_of(checkout: CheckoutView) -> str:
    assert checkout.payment is not None
    return checkout.payment.intent


_PATIENCE_S = 5


class Box:
    """A box office: a sale, its money, and a clock that can be moved on."""

    def __init__(
        self, sale: Sale, client: Redis, snapshot: Snapshot, stripe: StripeLookalike
    ) -> None:
        self.sale = sale
        self.client = client
        self.snapshot = snapshot
        self.stripe = stripe
        self.occurrence = snapshot.occurrence
        self.place = keys.prefix(SHARD, snapshot.occurrence)
        self.webhook_failures: list[str] = []
        self._ahead_ms = 0

    async def hold(self, buyer: str, *lines: LineRequest) -> HoldView:
        request = HoldRequest(lines=list(lines) or [LineRequest(ticket_type="stalls", quantity=2)])
        return await self.sale.holds.acquire(buyer, self.occurrence, request, idempotency())

    async def checkout(
        self, buyer: str, hold: str, key: Idempotency | None = None, name: str = "Ada"
    ) -> CheckoutView:
        request = CheckoutRequest(email="ada@example.org", name=name)
        return await self.sale.orders.checkout(
            buyer, self.occurrence, hold, request, key or idempotency()
        )

    async def pending(self, buyer: str, *lines: LineRequest) -> CheckoutView:
        return await self.checkout(buyer, (await self.hold(buyer, *lines)).id)

    async def order(self, buyer: str, order: str) -> OrderView:
        return await self.sale.orders.read(buyer, self.occurrence, order)

    async def pay(
        self, checkout: CheckoutView, method: str = "pm_card_visa", *, status: int = 200
    ) -> dict[str, Any]:
        """Pay as the buyer's browser does: publishable key and client secret."""
        assert checkout.payment is not None
        payment = checkout.payment
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"{self.stripe.url}/v1/payment_intents/{payment.intent}/confirm",
                data={
                    "client_secret": payment.client_secret,
                    "payment_method": method,
                    "return_url": "https://example.org/back",
                },
                headers={"Authorization": f"Bearer {payment.publishable_key}"},
            ) as response,
        ):
            assert response.status == status, await response.text()
            answer: dict[str, Any] = await response.json()
            return answer

    async def until(self, reached: Callable[[], Awaitable[bool]]) -> None:
        async with asyncio.timeout(20):
            while not await reached():  # noqa: ASYNC110 - it is on the other side of a connection
                await asyncio.sleep(0.005)

    async def until_state(self, buyer: str, order: str, state: str) -> OrderView:
        found: list[OrderView] = []

        async def reached() -> bool:
            found[:] = [await self.order(buyer, order)]
            return found[0].state == state

        await self.until(reached)
        return found[0]

    async def advance(self, ms: int) -> None:
        """Move the sale clock on: it is the wall clock less all pauses."""
        self._ahead_ms += ms
        await put_clock_ahead(self.client, self.place, self._ahead_ms)

    async def confirmed(self, buyer: str, *lines: LineRequest) -> CheckoutView:
        """An order that is paid for and confirmed."""
        checkout = await self.pending(buyer, *lines)
        self.stripe.money.capture(intent_of(checkout))
        await self.until_state(buyer, checkout.order.id, "confirmed")
        await self.until_settled()
        return checkout

    async def until_settled(self) -> None:
        """Wait until the provider has nothing more to tell."""
        await asyncio.wait_for(self.stripe.webhooks.settled(), 20)

    async def stray_intent(self, order: str, amount: int, currency: str = "eur") -> str:
        """Another intent for an order, made by nobody knows whom."""
        fields = {
            "amount": amount,
            "currency": currency,
            "metadata[order]": order,
            "metadata[occurrence]": self.occurrence,
        }
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"{self.stripe.url}/v1/payment_intents",
                data={name: str(value) for name, value in fields.items()},
                headers={"Authorization": f"Bearer {self.stripe.secret_key}"},
            ) as response,
        ):
            assert response.status == 200, await response.text()
            return str((await response.json())["id"])

    async def money_round(self) -> int:
        """Look at all money that is followed, as if its time had come; what is raised stays so.

        What the provider still tells is waited for: it would set the time anew meanwhile.
        """
        with contextlib.suppress(TimeoutError):  # it may be told to keep silent
            await asyncio.wait_for(self.stripe.webhooks.settled(), _PATIENCE_S)
        key = f"{self.place}:money"
        for order, at in (
            await inspection.read_followed(self.client, SHARD, self.occurrence)
        ).items():
            if at != math.inf:
                await self.client.zadd(key, {order: 0})
        return await self.sale.money.run_once()

    async def next_look(self, order: str) -> float:
        """In how many ms the order's money is looked at."""
        followed = await inspection.read_followed(self.client, SHARD, self.occurrence)
        seconds, micros = await self.client.time()
        return followed[order] - seconds * 1000 - micros / 1000

    async def stored(self, order: str) -> Order:
        """The order as Redis has it."""
        published = await self.sale.published(self.occurrence)
        return await self.sale.settlement.read(published, order)

    async def receive(self, request: web.Request) -> web.Response:
        """The webhook endpoint: like the edge, it answers 200 only when all is recorded."""
        try:
            await self.sale.handle_webhook(
                await request.read(), request.headers["Stripe-Signature"]
            )
        except OnsaleError as error:
            self.webhook_failures.append(error.code)
            return web.Response(status=error.status)
        return web.Response()


@pytest.fixture
async def stripe() -> AsyncIterator[StripeLookalike]:
    lookalike = StripeLookalike(retry_first_s=0.02)
    await lookalike.start()
    yield lookalike
    await lookalike.stop()


@asynccontextmanager
async def box_office(
    valkey_url: str,
    redis_client: Redis,
    stripe: StripeLookalike,
    snapshot: Snapshot,
    *,
    installation: str = "",
) -> AsyncIterator[Box]:
    """Publish a snapshot and sell it; the look-alike's webhooks come here."""
    await publication.publish(redis_client, snapshot, shard=SHARD)
    provider = StripeProvider(
        secret_key=stripe.secret_key,
        publishable_key=stripe.publishable_key,
        webhook_secret=stripe.webhook_secret,
        api_base=stripe.url,
        timeout_s=1.0,
        installation=installation,
    )
    client = connect(f"{valkey_url}/0")
    sale = Sale(Settings(redis_url=f"{valkey_url}/0"), client, provider)
    await sale.start()
    made = Box(sale, client, snapshot, stripe)
    application = web.Application()
    application.router.add_post("/hook", made.receive)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    stripe.deliver_to(f"http://127.0.0.1:{runner.addresses[0][1]}/hook")
    yield made
    stripe.deliver_to(None)
    await runner.cleanup()
    await sale.stop()
    await provider.close()
    await client.aclose()
    await assert_conserved(redis_client, snapshot.occurrence)


@pytest.fixture
async def box(valkey_url: str, redis_client: Redis, stripe: StripeLookalike) -> AsyncIterator[Box]:
    async with box_office(valkey_url, redis_client, stripe, small_house()) as made:
        yield made
