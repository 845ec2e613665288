"""Looks after money that goes back, whether or not the provider's messages come.

What is owed, on its way or disputed is looked at when it is due. What happens
at the provider alone (its dashboard, its fraud tools, a buyer's bank) comes by
webhook; the list of events tells of it once more, in case a message was lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Literal

from redis.asyncio import Redis

from engine.core.errors import NotFoundError, OnsaleError
from engine.payments.errors import PaymentRefusedError
from engine.payments.provider import PaymentProvider, WebhookEvent
from engine.platform.jobs.failing import FailingOccurrences
from engine.platform.valkey.codes import Code
from engine.platform.valkey.errors import StoreUnavailableError
from engine.sale import metrics
from engine.sale.commands import Commands
from engine.sale.documents import Order
from engine.sale.errors import OccurrenceUnknownError
from engine.sale.inventory import inspection
from engine.sale.inventory.occurrences import Occurrences, Published
from engine.sale.orders import event_cursor
from engine.sale.orders.refunds import Refunds
from engine.sale.orders.settlement import Settlement

log = logging.getLogger(__name__)

_DUE_MAX = 50  # orders of one occurrence in one round
_AGAIN_MS = 30_000  # when an order is looked at again that could not be looked at
_AT_ONCE_MAX = 8  # orders that the provider is asked about at the same time
_FIRST_S = 86_400  # how far back the first look at the events goes
_OVERLAP_S = 120  # events are listed in the order of a clock of seconds, and not at once
_EVENTS_MAX = 20_000  # of one look; Stripe keeps 30 days of them


Taken = Literal["taken", "foreign", "unwanted"]
"""What became of a message; unwanted: of a kind that nobody wants, or about no order."""


class MoneyWatch:
    """Two periodic services; any number of workers may run them."""

    def __init__(
        self,
        commands: Commands,
        occurrences: Occurrences,
        settlement: Settlement,
        provider: PaymentProvider,
        client: Redis,
    ) -> None:
        self._commands = commands
        self._occurrences = occurrences
        self._settlement = settlement
        self._provider = provider
        self._client = client
        self._failing = FailingOccurrences("looking after money")
        self._asking = asyncio.Semaphore(_AT_ONCE_MAX)
        self._seen: set[str] = set()  # events of the overlap that were looked at

    @property
    def _refunds(self) -> Refunds:
        return self._settlement.refunds

    async def run_once(self) -> int:
        """Look at what is due, of every occurrence. Returns how many orders changed.

        Raises ``StoreUnavailableError`` when the store is away.
        """
        due: list[tuple[Published, str]] = []
        followed = raised = 0
        known = await self._occurrences.all()
        self._failing.keep({published.snapshot.occurrence for published in known})
        for published in known:
            occurrence = published.snapshot.occurrence
            try:
                answer = await self._commands.money_due(published.place, _DUE_MAX, _AGAIN_MS)
            except StoreUnavailableError as error:
                if not error.answered:
                    raise
                self._failing.failed(occurrence, error)  # one that is broken stops no other
                continue
            self._failing.went_well(occurrence)
            if answer[0] != Code.OK:
                continue
            due += [(published, order.decode()) for order in answer[1]]
            followed += answer[2]
            raised += answer[3]
        metrics.FOLLOWED.set(followed)
        metrics.RAISED.set(raised)
        return sum(await asyncio.gather(*(self._settle(*order) for order in due)))

    async def _settle(self, published: Published, order_id: str) -> bool:
        async with self._asking:
            try:
                order = await self._refunds.read(published, order_id)
                after = await self._refunds.settle(published, order)
            except (OnsaleError, ValueError) as error:  # ValueError: it cannot be decoded
                log.warning("the money of order %s is looked at later: %s", order_id, error)
                return False
            return after.version != order.version

    async def followed(self, published: Published) -> AsyncIterator[Order]:
        """Yield the orders whose money is owed back, on its way or disputed."""
        snapshot = published.snapshot
        shard = await inspection.shard_of(self._client, snapshot.occurrence)
        for order in await inspection.read_followed(self._client, shard, snapshot.occurrence):
            yield await self._refunds.read(published, order)

    async def take(self, event: WebhookEvent) -> Taken:
        """Do what a message of the provider tells of; returns once that is recorded.

        The message says which intent to look at, and no more: doubled, late and
        shuffled messages do no harm. What is no order's, or another installation's, is
        left alone. Raises ``OccurrenceUnknownError`` for an order of ours whose sale is not
        here, and what the provider raises.
        """
        if event.foreign:
            return "foreign"
        intent = event.intent
        if intent is None:
            if not event.payment:
                return "unwanted"
            try:
                intent = await self._provider.retrieve_intent(event.payment)
            except PaymentRefusedError as error:
                log.info("event %s (%s) is of no order: %s", event.id, event.kind, error)
                return "unwanted"
            if self._provider.is_foreign(intent):
                return "foreign"
        try:
            published = await self._occurrences.get(intent.occurrence)
        except OccurrenceUnknownError:
            if intent.installation:
                raise  # ours: it must be repeated until the sale is back
            return "foreign"
        if intent.status == "canceled":
            order = await self._refunds.read(published, intent.order)
            await self._settlement.apply(published, order, intent)
        elif intent.status == "succeeded":
            await self._refunds.follow(published, intent.order, intent.id)
        return "taken"

    async def catch_up(self) -> int:
        """Look at all money that something happened to lately. Returns how many intents' it was.

        Raises ``RedisError``, ``PaymentUnavailableError``: then it is done again.
        """
        now_s = (await self._client.time())[0]
        since_s = await event_cursor.read(self._client) or now_s - _FIRST_S
        newest: dict[str, WebhookEvent] = {}
        listed: set[str] = set()
        last_s = since_s
        async for event in self._provider.money_events(since_s=since_s - _OVERLAP_S):
            listed.add(event.id)
            last_s = max(last_s, event.created_s)
            if event.payment and event.id not in self._seen:
                if event.intent is None:
                    newest[event.payment] = event
                newest.setdefault(event.payment, event)
            if len(listed) >= _EVENTS_MAX:  # the audit finds what was in the others
                log.error("more than %d events of money: the older are left out", _EVENTS_MAX)
                break
        for event in newest.values():
            try:
                if not await self._is_known(event):
                    await self.take(event)
            except (NotFoundError, PaymentRefusedError) as error:
                log.info("event %s (%s) is of nothing here: %s", event.id, event.kind, error)
        self._seen = listed
        await event_cursor.write(self._client, last_s)
        return len(newest)

    async def _is_known(self, event: WebhookEvent) -> bool:
        """Whether an event only tells that money was captured that its order has.

        In a sale nearly all events are such, and the provider need not be asked.
        """
        intent = event.intent
        if intent is None:
            return False
        published = await self._occurrences.get(intent.occurrence)
        order = await self._refunds.read(published, intent.order)
        money = order.payment.everything if order.payment else []
        return any(item.intent == intent.id and item.captured for item in money)
