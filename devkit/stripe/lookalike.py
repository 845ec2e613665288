"""The look-alike as one object: for ``onsale up``, the demo and the tests' fixtures."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

from aiohttp import web

from devkit.stripe.book import Book
from devkit.stripe.controls import Controls
from devkit.stripe.faults import Fault, Faults
from devkit.stripe.forms import BODY_BYTES_MAX
from devkit.stripe.idempotency import Answers
from devkit.stripe.journal import Journal
from devkit.stripe.keys import Keys
from devkit.stripe.money_controls import MoneyControls
from devkit.stripe.server import Server
from devkit.stripe.state import State
from devkit.stripe.webhooks import Behaviour, Webhooks
from engine.core.settings import Settings

_DEVELOPMENT = Settings()
_SHUTDOWN_S = 0.5


class StripeLookalike:
    """A Stripe for development and tests; the keys default to those of the development settings.

    ``port`` 0 lets the kernel choose. ``data``: the journal's file; None keeps
    everything in memory. ``webhook_events``: the kinds that the endpoint is
    enabled for, None for all. ``retry_first_s``: wait before the second try.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        data: Path | None = None,
        secret_key: str = _DEVELOPMENT.stripe_secret_key,
        publishable_key: str = _DEVELOPMENT.stripe_publishable_key,
        webhook_url: str | None = None,
        webhook_secret: str = _DEVELOPMENT.stripe_webhook_secret,
        webhook_events: Iterable[str] | None = None,
        retry_first_s: float = 1.0,
    ) -> None:
        self.secret_key = secret_key
        self.publishable_key = publishable_key
        self.webhook_secret = webhook_secret
        self._host = host
        self._port = port
        self._book = Book(State(), Answers(), Journal(data))
        self.faults = Faults()
        self.webhooks = Webhooks(
            url=webhook_url,
            secret=webhook_secret,
            kinds=None if webhook_events is None else frozenset(webhook_events),
            retry_first_s=retry_first_s,
            delivered=self._book.delivered,
        )
        server = Server(self._book, self.webhooks, self.faults, Keys(secret_key, publishable_key))
        self.calls = server.calls  # how many came in, by method and route
        self.controls = Controls(self._book, self.webhooks, self.faults, server.refunds, self.calls)
        self.money = MoneyControls(self._book, self.webhooks, server.refunds)
        application = web.Application(client_max_size=BODY_BYTES_MAX)
        application.router.add_routes(
            [
                *server.routes(),
                *self.controls.routes(),
                *self.money.routes(),
                web.get("/health", _health),
            ]
        )
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN_S)

    @property
    def url(self) -> str:
        """Where it is reached; what the library's ``base_addresses`` takes."""
        return self._book.state.url

    @property
    def state(self) -> State:
        """Everything it remembers, to look at."""
        return self._book.state

    async def start(self) -> None:
        """Replay the journal and listen. Raises ``JournalError``, ``OSError`` for a taken port."""
        await asyncio.to_thread(self._book.load)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        port = self._runner.addresses[0][1]
        self._book.state.url = f"http://{self._host}:{port}"
        await self.webhooks.start()
        for event in self._book.state.events:
            if event.pending and self.webhooks.wants(event.kind):
                self.webhooks.submit(event)

    async def stop(self) -> None:
        """Stop listening and delivering, and close the journal."""
        self.faults.clear()
        await self._runner.cleanup()
        await self.webhooks.stop()
        self._book.close()

    def deliver_to(self, url: str | None) -> None:
        """Deliver events from now on to ``url``, signed; None: nowhere."""
        self.webhooks.url = url

    def fail(self, fault: Fault) -> None:
        """Let the next calls fail, as :class:`Fault` says."""
        self.faults.add(fault)

    def deliver(self, behaviour: Behaviour) -> None:
        """Deliver as :class:`Behaviour` says from now on."""
        self.webhooks.configure(behaviour)


async def _health(request: web.Request) -> web.Response:
    del request
    return web.json_response({"status": "ok"})
