"""A Stripe look-alike on a free port, the real library as its client, a webhook endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
import stripe
from aiohttp import web
from blockbuster import BlockBuster

from devkit.stripe import StripeLookalike
from engine.core.ids import new_id
from engine.payments.stripe import StripeProvider


@pytest.fixture
async def stripe_lookalike() -> AsyncIterator[StripeLookalike]:
    """Started on a free port; events go nowhere until ``.deliver_to(url)`` is called."""
    lookalike = StripeLookalike(retry_first_s=0.01)
    await lookalike.start()
    yield lookalike
    await lookalike.stop()


@asynccontextmanager
async def library(lookalike: StripeLookalike, key: str = "") -> AsyncIterator[stripe.StripeClient]:
    async with aiohttp.ClientSession() as session:
        yield stripe.StripeClient(
            key or lookalike.secret_key,
            base_addresses={"api": lookalike.url},
            http_client=stripe.AIOHTTPClient(session=session, timeout=5),
            max_network_retries=0,
        )


@pytest.fixture
async def shop(stripe_lookalike: StripeLookalike) -> AsyncIterator[stripe.StripeClient]:
    """The library with the secret key."""
    async with library(stripe_lookalike) as client:
        yield client


@pytest.fixture
async def browser(stripe_lookalike: StripeLookalike) -> AsyncIterator[stripe.StripeClient]:
    """The library with the publishable key: what a buyer's browser may do."""
    async with library(stripe_lookalike, stripe_lookalike.publishable_key) as client:
        yield client


@pytest.fixture
async def web_client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def intent_params(**changes: Any) -> Any:
    return {
        "amount": 4200,
        "currency": "eur",
        "automatic_payment_methods": {"enabled": True},
        "metadata": {"order": new_id(), "occurrence": new_id()},
        **changes,
    }


@dataclass
class Receiver:
    """A webhook endpoint. ``answers``: the statuses of the next answers, then 200."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    received: list[tuple[bytes, str]] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def handle(self, request: web.Request) -> web.Response:
        self.received.append((await request.read(), request.headers["Stripe-Signature"]))
        async with self.changed:
            self.changed.notify_all()
        status = self.answers.pop(0) if self.answers else 200
        return web.Response(status=status, headers={"Location": self.url})

    async def until(self, reached: Callable[[], bool]) -> None:
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(reached), 10)

    async def until_count(self, count: int) -> None:
        await self.until(lambda: len(self.received) >= count)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    application = web.Application()
    application.router.add_post("/hook", made.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield made
    await runner.cleanup()


@pytest.fixture
async def provider(stripe_lookalike: StripeLookalike) -> AsyncIterator[StripeProvider]:
    async with provider_of(stripe_lookalike) as made:
        yield made


@asynccontextmanager
async def provider_of(
    lookalike: StripeLookalike, *, timeout_s: float = 5.0, **changes: str
) -> AsyncIterator[StripeProvider]:
    arguments = {
        "secret_key": lookalike.secret_key,
        "publishable_key": lookalike.publishable_key,
        "webhook_secret": lookalike.webhook_secret,
        "api_base": lookalike.url,
        **changes,
    }
    made = StripeProvider(**arguments, timeout_s=timeout_s)
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
def journal_may_block(blockbuster: BlockBuster) -> None:
    """The look-alike appends to the page cache in the loop: a thread would cost more."""
    blockbuster.functions["os.write"].can_block_in("stripe/journal.py", "write")
