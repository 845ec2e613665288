"""Makes the payment intents of orders, and finds those that were made.

An intent is noted with its order before anybody is given what it is paid with.
So an order that has none noted cannot be paid, and may end without one.
"""

from __future__ import annotations

import logging

from engine.core.errors import OnsaleError
from engine.payments.errors import PaymentMismatchError
from engine.payments.provider import Intent, PaymentProvider
from engine.platform.valkey.codes import Code
from engine.sale.answers import decode
from engine.sale.commands import Commands
from engine.sale.documents import Order
from engine.sale.failures import raise_failure
from engine.sale.inventory.occurrences import Published

log = logging.getLogger(__name__)


class Intents:
    """See the module. Whatever is done here may be repeated by anybody."""

    def __init__(self, commands: Commands, provider: PaymentProvider) -> None:
        self._commands = commands
        self._provider = provider

    async def of(self, published: Published, order: Order) -> Intent:
        """Return the order's intent as the provider sees it now, made if none is noted.

        Raises ``PaymentUnavailableError``; ``PaymentRefusedError`` for an order without an
        intent means that it never will have one.
        """
        if order.payment is not None and order.payment.intent:
            return await self._provider.retrieve_intent(order.payment.intent)
        return (await self.make(published, order))[0]

    async def make(self, published: Published, order: Order) -> tuple[Intent, Order]:
        """Make the intent of an order that has none noted, or get what was made, and note it.

        What the provider is told is what it was told the first time: it is in the
        order. Returns the intent, and the order as it is then; if the order ended
        meanwhile, its intent is cancelled. Raises as :meth:`of`.
        """
        intent = await self._create(published, order)
        answer = await self._commands.attach(
            published.place, order.id, intent.id, intent.client_secret
        )
        if answer[0] == Code.OK:
            return intent, decode(answer[1])
        if answer[0] != Code.ORDER_STATE:
            raise_failure(published, answer)
        ended = decode(answer[1])
        if ended.payment is None or ended.payment.intent != intent.id:
            # Nobody was given its client secret, so nobody can pay it; it need not stay open.
            try:
                intent = await self._provider.cancel_intent(intent.id)
            except OnsaleError as error:
                log.warning("intent %s of ended order %s is open: %s", intent.id, order.id, error)
        return intent, ended

    async def _create(self, published: Published, order: Order) -> Intent:
        said = order.payment.description if order.payment is not None else ""
        try:
            # The order's id is the idempotency key: this is the one that was made before, if any.
            return await self._provider.create_intent(
                order=order.id,
                occurrence=order.occurrence,
                amount=order.total,
                currency=order.currency,
                email=order.email,
                description=said or published.snapshot.event_name,
            )
        except PaymentMismatchError:
            # Made by another version of this program, or under another name of this installation.
            found = await self._provider.find_intent(
                order=order.id, placed_at_s=order.placed_at // 1000
            )
            if found is None:
                raise
            return found
