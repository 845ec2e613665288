"""What the provider says of an order's money becomes the order's state (DESIGN 5).

Captured money ends as tickets or as a refund, always; seats are released only
after the provider has cancelled. Everything here may be repeated, by anybody,
in any order.
"""

from __future__ import annotations

import logging

from engine.core.documents import Order
from engine.core.errors import OnsaleError, OrderStateError
from engine.payments.provider import Intent, PaymentProvider
from engine.sale.answers import decode, decode_order
from engine.sale.occurrences import Published
from engine.sale.refunds import Refunds
from engine.store.codes import Code
from engine.store.commands import Commands

log = logging.getLogger(__name__)

AGAIN_MS = 30_000  # when an order that could not be closed is looked at again


class Settlement:
    """Moves orders along with their money."""

    def __init__(self, commands: Commands, provider: PaymentProvider) -> None:
        self._commands = commands
        self._provider = provider
        self.refunds = Refunds(commands, provider)

    async def intent_of(self, published: Published, order: Order) -> Intent:
        """Return the order's intent, made now if it is not there or was not noted before a crash.

        Raises ``PaymentUnavailableError``, ``PaymentRefusedError``.
        """
        payment = order.payment
        if payment is not None and payment.intent:
            return await self._provider.retrieve_intent(payment.intent)
        # The order's id is the idempotency key: this is the one that was made before, if any.
        intent = await self._provider.create_intent(
            order=order.id,
            occurrence=order.occurrence,
            amount=order.total,
            currency=order.currency,
            email=order.email,
            description=published.snapshot.event_name,
        )
        decode_order(published, await self._commands.attach(published.place, order.id, intent.id))
        return intent

    async def apply(self, published: Published, order: Order, intent: Intent) -> Order:
        """Make the order what one of its intents says. Returns it as it is afterwards.

        ``order``: as it was before the intent was asked for.
        """
        if intent.status == "succeeded":
            return await self.refunds.take(published, order, intent)
        if intent.status == "canceled":
            return await self._canceled(published, intent)
        return await self.read(published, intent.order)

    async def read(self, published: Published, order: str) -> Order:
        """Return an order. Raises ``OrderUnknownError``."""
        return await self.refunds.read(published, order)

    async def _canceled(self, published: Published, intent: Intent) -> Order:
        answer = await self._commands.cancel(
            published.place, intent.order, "payment_canceled", AGAIN_MS
        )
        if answer[0] == Code.ORDER_STATE:
            return decode(answer[1])
        decode_order(published, answer)
        return decode_order(
            published,
            await self._commands.release_order(published.place, intent.order, intent.id),
        )

    async def cancel(self, published: Published, order: Order, reason: str) -> Order:
        """Cancel a pending order, at the provider first.

        With the provider away the order stays ``cancelling``, its seats are
        kept, and the worker goes on with it. Raises ``OrderStateError`` when
        the order is not pending.
        """
        answer = await self._commands.cancel(published.place, order.id, reason, AGAIN_MS)
        if answer[0] == Code.ORDER_STATE:
            state = decode(answer[1]).state
            raise OrderStateError(f"This order is {state} and cannot be cancelled", state=state)
        order = decode_order(published, answer)
        try:
            return await self.close(published, order)
        except OnsaleError as error:
            log.warning("order %s is cancelled later: %s", order.id, error)
            return order

    async def close(self, published: Published, order: Order) -> Order:
        """Take one step with an order that is due: cancel it at the provider, then release it.

        Raises what the provider raises; the order is due again after ``AGAIN_MS``.
        """
        if order.state == "pending":
            answer = await self._commands.cancel(published.place, order.id, "expired", AGAIN_MS)
            if answer[0] == Code.ORDER_STATE:
                return decode(answer[1])
            order = decode_order(published, answer)
        if order.state != "cancelling":
            return order
        intent = await self.intent_of(published, order)
        if intent.status == "open":
            intent = await self._provider.cancel_intent(intent.id)
        if intent.status == "processing":
            return order  # the money may still come: the seats are kept
        return await self.apply(published, order, intent)
