"""The sale as the edge and the worker use it: everything of the hot plane, put together."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio import Redis

from engine.core.errors import InvalidRequestError
from engine.core.settings import Settings
from engine.payments.provider import PaymentProvider
from engine.platform.valkey.batcher import Batcher
from engine.platform.valkey.codes import Code
from engine.platform.valkey.errors import StoreUnavailableError
from engine.queue.service import WaitingRoom
from engine.sale.backlog import Backlog
from engine.sale.commands import Commands
from engine.sale.holds.service import Holds
from engine.sale.inventory.occurrences import Occurrences, Published
from engine.sale.inventory.stock_reading import Readings
from engine.sale.orders.buyer_payments import BuyerPayments
from engine.sale.orders.expiry import Expiry
from engine.sale.orders.intents import Intents
from engine.sale.orders.money_watch import MoneyWatch
from engine.sale.orders.service import Orders
from engine.sale.orders.settlement import Settlement

_CROWD_LANES = 3  # questions for places are not written down, so their round trips are short


class Sale:
    """One a process; ``start`` it, ``stop`` it. The client and the provider stay the caller's.

    ``holds`` and ``orders`` serve buyers, ``expiry`` ends what runs out,
    ``settlement`` moves orders along with their money, ``money`` looks after what goes back,
    ``waiting`` is the room before the sale, ``readings`` tell what is free of many occurrences.
    """

    def __init__(self, settings: Settings, client: Redis, provider: PaymentProvider) -> None:
        self.batcher = Batcher(
            settings.redis_url,
            size_max=settings.batch_size_max,
            queue_max=settings.batch_queue_max,
        )
        # What comes in crowds: guests, places, questions for places. Whoever is inside never
        # waits behind them, nor is refused because of them.
        self.crowd = Batcher(
            settings.redis_url,
            size_max=settings.batch_size_max,
            queue_max=settings.batch_queue_max,
            lanes=_CROWD_LANES,
        )
        self.commands = Commands(self.batcher, self.crowd)
        self.known = Occurrences(client)
        self.backlog = Backlog(
            client, length_max=settings.backlog_max, poll_ms=settings.backlog_poll_ms
        )
        self._provider = provider
        self.webhooks_foreign = 0  # messages about other installations' payments
        self.webhooks_unwanted = 0  # messages of kinds that nobody wants, or about no order
        intents = Intents(self.commands, provider)
        self.settlement = Settlement(self.commands, provider, intents)
        self.holds = Holds(self.commands, self.known, self.backlog, settings)
        self._payments = BuyerPayments(self.commands, self.settlement, intents)
        self.orders = Orders(
            self.commands, self.known, self.holds, self.settlement, self._payments, provider
        )
        self.expiry = Expiry(self.commands, self.known, self.settlement)
        self.readings = Readings(client, settings.live_interval_ms / 1000)
        self.money = MoneyWatch(self.commands, self.known, self.settlement, provider, client)
        self.waiting = WaitingRoom(
            self.commands,
            self.known,
            client,
            interval_s=settings.live_interval_ms / 1000,
            boards_max=settings.boards_max,
        )

    async def start(self) -> None:
        """Start the tasks that the sale lives on."""
        await self.batcher.start()
        await self.crowd.start()
        await self.known.start()
        await self.backlog.start()

    async def stop(self) -> None:
        """Stop them, in reverse order."""
        await self.expiry.stop()
        await self._payments.stop()
        await self.waiting.stop()
        await self.backlog.stop()
        await self.known.stop()
        await self.crowd.stop()
        await self.batcher.stop()

    async def occurrences(self) -> list[Published]:
        """Return what is published."""
        return await self.known.all()

    async def published(self, occurrence: str) -> Published:
        """Return a published occurrence. Raises ``OccurrenceUnknownError``."""
        return await self.known.get(occurrence)

    async def handle_webhook(self, body: bytes, signature: str) -> None:
        """Verify a message of the provider and do what it says; returns once that is recorded.

        Doubled, late and shuffled messages do no harm: the message says which
        intent to look at, and the provider what became of it. Raises
        ``WebhookRejectedError``; any other error asks the provider to repeat. Messages
        about other installations' payments, and of kinds that nobody wants, are counted
        and passed over; one about an order of ours that is not here (its sale was lost
        and must be rebuilt) is an error, and comes again.
        """
        event = self._provider.parse_webhook(body, signature)
        taken = await asyncio.shield(self.money.take(event))
        self.webhooks_foreign += taken == "foreign"
        self.webhooks_unwanted += taken == "unwanted"

    async def pause(self, occurrence: str, actor: str = "cli") -> None:
        """Stop the sale clock of an occurrence. ``actor``: who does it, for the record."""
        published = await self.known.get(occurrence)
        _done(await self.commands.pause(published.place, actor))

    async def resume(self, occurrence: str, actor: str = "cli") -> None:
        """Let the sale clock go on."""
        published = await self.known.get(occurrence)
        _done(await self.commands.resume(published.place, actor))


def _done(answer: list[Any]) -> None:
    if answer[0] == Code.INVALID:
        raise InvalidRequestError("Who does it has 1 to 100 characters")
    if answer[0] != Code.OK:
        raise StoreUnavailableError(retry_after_s=1)
