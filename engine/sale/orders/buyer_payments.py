"""What buyers may ask of the payment provider: seldom, shared, and else what is known.

However often a buyer repeats checkout, settle and cancel, by however many
connections and processes, the provider is asked for an order a few times and
then once a second (lua/order_ask.lua keeps the turns); in between the order
itself answers. The provider's webhook does not wait for any of this.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from engine.core.tasks import Shared
from engine.payments.errors import PaymentRefusedError, PaymentUnavailableError
from engine.sale.answers import decode_order
from engine.sale.commands import Commands
from engine.sale.documents import Order
from engine.sale.inventory.occurrences import Published
from engine.sale.orders.intents import Intents
from engine.sale.orders.settlement import Settlement

ASK_AGAIN_S: Final = 1  # what a client is told to wait before it asks again
_LOOKS_MAX: Final = 2  # looks for a turn to make an intent, with a wait of a second at most between
_WAIT_MAX_MS: Final = 1_000


class BuyerPayments:
    """See the module. ``buyer``: the token's subject, whose order it must be."""

    def __init__(self, commands: Commands, settlement: Settlement, intents: Intents) -> None:
        self._commands = commands
        self._settlement = settlement
        self._intents = intents
        self._shared = Shared()

    async def stop(self) -> None:
        """Stop what is under way; whoever repeats it goes on from there."""
        await self._shared.stop()

    async def payable(self, published: Published, order: Order, buyer: str) -> Order:
        """Return the pending order with what it is paid with, or as it has ended meanwhile.

        Raises ``PaymentUnavailableError``.
        """
        if _is_payable(order):
            return order
        return await self._shared.do(
            ("pay", buyer, order.id), lambda: self._make(published, order.id, buyer)
        )

    async def settle(self, published: Published, order: str, buyer: str) -> tuple[Order, int, int]:
        """Return what the provider says of an order by now; with it, sale-clock and wall-clock ms.

        Raises ``OrderUnknownError``, ``PaymentUnavailableError``.
        """
        return await self._shared.do(
            ("settle", buyer, order), lambda: self._settle(published, order, buyer)
        )

    async def cancel(self, published: Published, order: str, buyer: str) -> tuple[Order, int, int]:
        """Cancel a pending order: now, or by the worker in a moment when there is no turn left.

        Raises ``OrderUnknownError``, ``OrderStateError``.
        """
        return await self._shared.do(
            ("cancel", buyer, order), lambda: self._cancel(published, order, buyer)
        )

    async def _ask(self, published: Published, order: str, buyer: str) -> tuple[Order, list[Any]]:
        answer = await self._commands.ask(published.place, order, buyer)
        return decode_order(published, answer), answer

    async def _make(self, published: Published, order_id: str, buyer: str) -> Order:
        wait_ms = 0
        for _ in range(_LOOKS_MAX):
            await asyncio.sleep(min(wait_ms, _WAIT_MAX_MS) / 1000)
            order, answer = await self._ask(published, order_id, buyer)
            if order.state != "pending" or _is_payable(order):
                return order
            wait_ms = answer[4]
            if not wait_ms:
                return await self._make_now(published, order)
        raise PaymentUnavailableError(
            "This payment is being made; try again in a moment.", retry_after_s=ASK_AGAIN_S
        )

    async def _make_now(self, published: Published, order: Order) -> Order:
        if _is_noted(order):
            # but what it is paid with is not: the order came back from the books
            intent = await self._intents.of(published, order)
            if intent.status != "open":
                return await self._settlement.apply(published, order, intent)
            answer = await self._commands.attach(
                published.place, order.id, intent.id, intent.client_secret
            )
            return decode_order(published, answer)
        try:
            return (await self._intents.make(published, order))[1]
        except PaymentRefusedError as error:
            return await self._settlement.refuse(published, order, error)

    async def _settle(
        self, published: Published, order_id: str, buyer: str
    ) -> tuple[Order, int, int]:
        order, answer = await self._ask(published, order_id, buyer)
        if order.state not in {"pending", "cancelling"} or answer[4]:
            return order, answer[2], answer[3]
        if order.state == "pending" and not _is_noted(order):
            order = await self._make_now(published, order)  # or it was, before the sale was lost
        if _is_noted(order) and order.state in {"pending", "cancelling"}:
            intent = await self._intents.of(published, order)
            order = await self._settlement.apply(published, order, intent)
        return order, answer[2], answer[3]

    async def _cancel(
        self, published: Published, order_id: str, buyer: str
    ) -> tuple[Order, int, int]:
        order, answer = await self._ask(published, order_id, buyer)
        after_ms = answer[4]
        if after_ms:
            order = await self._settlement.begin_cancel(published, order, "buyer", after_ms)
        else:
            order = await self._settlement.cancel(published, order, "buyer")
        return order, answer[2], answer[3]


def _is_noted(order: Order) -> bool:
    return order.payment is not None and bool(order.payment.intent)


def _is_payable(order: Order) -> bool:
    return order.payment is not None and bool(order.payment.intent and order.payment.secret)
