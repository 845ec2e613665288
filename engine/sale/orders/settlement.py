"""What the provider says of an order's money becomes the order's state.

Captured money ends as tickets or as a refund, always; seats are released only
after the provider has cancelled. Everything here may be repeated, by anybody,
in any order.
"""

from __future__ import annotations

import logging

from engine.core.errors import OnsaleError
from engine.payments.errors import PaymentRefusedError
from engine.payments.provider import Intent, PaymentProvider
from engine.platform.valkey.codes import Code
from engine.sale.answers import decode, decode_order
from engine.sale.commands import Commands
from engine.sale.documents import Order
from engine.sale.errors import OrderStateError
from engine.sale.inventory.occurrences import Published
from engine.sale.orders.intents import Intents
from engine.sale.orders.refunds import Refunds

log = logging.getLogger(__name__)

AGAIN_MS = 30_000  # when an order that could not be closed is looked at again, the first time
REFUSED = "payment_refused"  # why an order ended that the provider refuses to be paid for
_FAILURE_LENGTH_MAX = 64


class Settlement:
    """Moves orders along with their money."""

    def __init__(self, commands: Commands, provider: PaymentProvider, intents: Intents) -> None:
        self._commands = commands
        self._provider = provider
        self._intents = intents
        self.refunds = Refunds(commands, provider)

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
        order = await self.read(published, intent.order)
        if order.payment is not None and order.payment.intent not in {"", intent.id}:
            return order  # it is paid by another
        answer = await self._commands.cancel(
            published.place, intent.order, "payment_canceled", AGAIN_MS
        )
        if answer[0] == Code.ORDER_STATE:
            return decode(answer[1])
        decode_order(published, answer)
        return await self._release(published, intent.order, intent.id)

    async def _release(self, published: Published, order: str, intent: str) -> Order:
        """Put the stock back; an order that has another intent stays as it is, for the worker."""
        answer = await self._commands.release_order(published.place, order, intent)
        if answer[0] == Code.ORDER_STATE:
            return decode(answer[1])
        return decode_order(published, answer)

    async def refuse(self, published: Published, order: Order, error: PaymentRefusedError) -> Order:
        """End an order whose payment the provider refuses to make: its stock is free at once.

        No intent is noted, so nobody can pay it; if one is noted by now, the
        worker cancels that first.
        """
        failure = str(error.extra.get("provider_code", ""))[:_FAILURE_LENGTH_MAX]
        answer = await self._commands.cancel(published.place, order.id, REFUSED, AGAIN_MS, failure)
        if answer[0] == Code.ORDER_STATE:
            return decode(answer[1])
        order = decode_order(published, answer)
        log.warning("the provider refuses the payment of order %s: %s", order.id, failure)
        return await self._release(published, order.id, "")

    async def begin_cancel(
        self, published: Published, order: Order, reason: str, again_ms: int
    ) -> Order:
        """Begin to cancel a pending order; the worker goes on after ``again_ms``.

        Raises ``OrderStateError`` when the order is not pending.
        """
        answer = await self._commands.cancel(published.place, order.id, reason, again_ms)
        if answer[0] == Code.ORDER_STATE:
            state = decode(answer[1]).state
            raise OrderStateError(f"This order is {state} and cannot be cancelled", state=state)
        return decode_order(published, answer)

    async def cancel(self, published: Published, order: Order, reason: str) -> Order:
        """Cancel a pending order, at the provider first.

        With the provider away the order stays ``cancelling``, its seats are
        kept, and the worker goes on with it. Raises ``OrderStateError`` when
        the order is not pending.
        """
        order = await self.begin_cancel(published, order, reason, AGAIN_MS)
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
        noted = order.payment.intent if order.payment is not None else ""
        try:
            intent = await self._intents.of(published, order)
        except PaymentRefusedError as error:
            if noted:
                raise
            return await self.refuse(published, order, error)
        if intent.status == "open":
            intent = await self._provider.cancel_intent(intent.id)
        if intent.status == "processing":
            return order  # the money may still come: the seats are kept
        return await self.apply(published, order, intent)
