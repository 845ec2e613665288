"""What the provider says of an order's money becomes the order's state (DESIGN 5).

Captured money ends as tickets or as a refund, always; seats are released only
after the provider has cancelled. Everything here may be repeated, by anybody,
in any order.
"""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from engine.core.documents import Order
from engine.core.errors import OnsaleError, OrderStateError, PaymentRefusedError
from engine.payments.provider import Intent, PaymentProvider
from engine.sale.failures import raise_failure
from engine.sale.intents import Intents
from engine.sale.occurrences import Published
from engine.store.codes import Code
from engine.store.commands import Commands

log = logging.getLogger(__name__)

AGAIN_MS = 30_000  # when an order that could not be closed is looked at again, the first time
REFUSED = "payment_refused"  # why an order ended that the provider refuses to be paid for
_FAILURE_LENGTH_MAX = 64
_decode = msgspec.msgpack.Decoder(Order).decode


def decode_order(published: Published, answer: list[Any]) -> Order:
    """Return the order of an answer. Raises the error that the answer stands for."""
    if answer[0] != Code.OK:
        raise_failure(published, answer)
    return _decode(answer[1])


class Settlement:
    """Moves orders along with their money."""

    def __init__(self, commands: Commands, provider: PaymentProvider, intents: Intents) -> None:
        self._commands = commands
        self._provider = provider
        self._intents = intents

    async def apply(self, published: Published, intent: Intent) -> Order:
        """Make the order what its intent says. Returns the order as it is afterwards."""
        if intent.status == "succeeded":
            return await self._captured(published, intent)
        if intent.status == "canceled":
            return await self._canceled(published, intent)
        return await self.read(published, intent.order)

    async def read(self, published: Published, order: str) -> Order:
        """Return an order. Raises ``OrderUnknownError``."""
        return decode_order(published, await self._commands.read(published.place, "o", order))

    async def _captured(self, published: Published, intent: Intent) -> Order:
        answer = await self._commands.confirm(
            published.place, intent.order, intent.id, intent.captured
        )
        if answer[0] == Code.ORDER_STATE:
            # Not the money that this order waits for: give it back rather than guess.
            order = _decode(answer[1])
            log.error(
                "intent %s captured %d for order %s, which wants %d by intent %s: refunding",
                intent.id,
                intent.captured,
                order.id,
                order.total,
                order.payment.intent if order.payment else "none",
            )
            if intent.captured > intent.refunded:
                await self._provider.refund(
                    intent=intent.id,
                    order=order.id,
                    amount=intent.captured - intent.refunded,
                    reason=f"unexpected_{intent.id}",
                )
            return order
        order = decode_order(published, answer)
        if order.payment and order.payment.refund and not order.payment.refund_id:
            return await self._try_refund(published, order)
        return order

    async def _canceled(self, published: Published, intent: Intent) -> Order:
        order = await self.read(published, intent.order)
        if order.payment is not None and order.payment.intent not in {"", intent.id}:
            return order  # it is paid by another
        answer = await self._commands.cancel(
            published.place, intent.order, "payment_canceled", AGAIN_MS
        )
        if answer[0] == Code.ORDER_STATE:
            return _decode(answer[1])
        decode_order(published, answer)
        return await self._release(published, intent.order, intent.id)

    async def _release(self, published: Published, order: str, intent: str) -> Order:
        """Put the stock back; an order that has another intent stays as it is, for the worker."""
        answer = await self._commands.release_order(published.place, order, intent)
        if answer[0] == Code.ORDER_STATE:
            return _decode(answer[1])
        return decode_order(published, answer)

    async def refuse(self, published: Published, order: Order, error: PaymentRefusedError) -> Order:
        """End an order whose payment the provider refuses to make: its stock is free at once.

        No intent is noted, so nobody can pay it; if one is noted by now, the
        worker cancels that first.
        """
        failure = str(error.extra.get("provider_code", ""))[:_FAILURE_LENGTH_MAX]
        answer = await self._commands.cancel(published.place, order.id, REFUSED, AGAIN_MS, failure)
        if answer[0] == Code.ORDER_STATE:
            return _decode(answer[1])
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
            state = _decode(answer[1]).state
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
        """Take one step with an order that is due: cancel what is pending, give back what is owed.

        Raises what the provider raises; the order is due again after ``AGAIN_MS``.
        """
        if order.payment and order.payment.refund and not order.payment.refund_id:
            return await self._refund(published, order)
        if order.state == "pending":
            answer = await self._commands.cancel(published.place, order.id, "expired", AGAIN_MS)
            if answer[0] == Code.ORDER_STATE:
                return _decode(answer[1])
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
        return await self.apply(published, intent)

    async def give_back(self, published: Published, order: Order, reason: str) -> Order:
        """Take a confirmed order back: its seats go on sale, its money goes to the buyer."""
        answer = await self._commands.return_order(published.place, order.id, reason)
        if answer[0] == Code.ORDER_STATE:
            state = _decode(answer[1]).state
            raise OrderStateError(f"This order is {state} and cannot be given back", state=state)
        order = decode_order(published, answer)
        if order.payment and order.payment.refund and not order.payment.refund_id:
            return await self._try_refund(published, order)
        return order

    async def _try_refund(self, published: Published, order: Order) -> Order:
        try:
            return await self._refund(published, order)
        except OnsaleError as error:
            log.warning("order %s is refunded later: %s", order.id, error)
            return order

    async def _refund(self, published: Published, order: Order) -> Order:
        payment = order.payment
        if payment is None:
            raise OrderStateError("There is nothing to give back", state=order.state)
        refund = await self._provider.refund(
            intent=payment.intent,
            order=order.id,
            amount=payment.refund,
            reason=payment.refund_reason,
        )
        return decode_order(
            published, await self._commands.refunded(published.place, order.id, refund.id)
        )
