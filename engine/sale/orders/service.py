"""Checkout, and orders as their buyer uses them."""

from __future__ import annotations

from typing import Any, Literal

from engine.core.errors import InvalidRequestError
from engine.core.ids import new_id
from engine.core.money import order_total
from engine.payments.errors import PaymentRefusedError
from engine.payments.provider import PaymentProvider
from engine.platform.http.idempotency import Idempotency
from engine.platform.valkey.codes import Code
from engine.sale.answers import decode_order
from engine.sale.commands import Commands
from engine.sale.documents import Hold, Order
from engine.sale.errors import TotalNotChargeableError
from engine.sale.holds.service import Holds
from engine.sale.inventory.occurrences import Occurrences, Published
from engine.sale.orders.buyer_payments import BuyerPayments
from engine.sale.orders.settlement import REFUSED, Settlement
from engine.sale.requests import CheckoutRequest
from engine.sale.views import CheckoutView, OrderView, order_view, payment_view

_REPRICE_MAX = 3  # a hold that its owner keeps changing meanwhile is the owner's business


class Orders:
    """Makes orders of holds and answers for them. ``buyer``: the token's subject."""

    def __init__(
        self,
        commands: Commands,
        occurrences: Occurrences,
        holds: Holds,
        settlement: Settlement,
        payments: BuyerPayments,
        provider: PaymentProvider,
    ) -> None:
        self._commands = commands
        self._occurrences = occurrences
        self._holds = holds
        self._settlement = settlement
        self._payments = payments
        self._provider = provider

    async def checkout(
        self,
        buyer: str,
        occurrence: str,
        hold: str,
        request: CheckoutRequest,
        idempotency: Idempotency,
    ) -> CheckoutView:
        """Make the order of a hold and its payment intent. The same hold gives the same order.

        Raises ``HoldUnknownError``, ``HoldExpiredError``, ``HoldChangedError``,
        ``LinesUnavailableError`` (lines of the hold that break a rule of an order),
        ``IdempotencyMismatchError``; ``TotalNotChargeableError`` when the provider cannot
        charge the total, which leaves the hold as it is; ``PaymentUnavailableError`` when the
        order is made but the provider does not answer: repeating the request goes on from
        there; ``PaymentRefusedError`` when it refuses for good, which ends the order.
        """
        published = await self._occurrences.get(occurrence)
        for _ in range(_REPRICE_MAX):
            found, _order = await self._holds.read_for_order(published, buyer, hold)
            answer = await self._commands.place_order(
                published.place,
                buyer,
                hold,
                found.version if found else 1,
                new_id(),
                idempotency.key_digest,
                idempotency.body_digest,
                self._details(published, found, request),
            )
            if answer[0] != Code.HOLD_CHANGED:
                break
        order = decode_order(published, answer)
        if order.state == "pending":
            order = await self._payments.payable(published, order, buyer)
        if order.cancel_reason == REFUSED:
            raise PaymentRefusedError(
                "The payment provider refuses this payment: nothing was charged, and the tickets"
                " are on sale again. Check the e-mail address and the total, and hold anew",
                provider_code=order.payment.refusal if order.payment else "",
                order=order.id,
            )
        return CheckoutView(
            order=order_view(published, order, answer[2], answer[3]),
            payment=payment_view(order, self._provider.publishable_key),
        )

    def _details(
        self, published: Published, hold: Hold | None, request: CheckoutRequest
    ) -> dict[str, Any]:
        """Return what the order is made with; nothing counts when the hold is an order already."""
        lines = hold.lines if hold else []
        tickets = sum(line.quantity for line in lines)
        if hold and len(request.attendees) > tickets:
            raise InvalidRequestError(
                f"The hold has {tickets} tickets: name at most as many attendees",
                path="$.attendees",
            )
        snapshot = published.snapshot
        limits = self._provider.charge_limits(snapshot.currency)
        total = order_total(
            sum(line.price * line.quantity for line in lines),
            tickets,
            fees=snapshot.fees,
            tax_rate_bp=snapshot.tax_rate_bp,
            step=limits.step,
        )
        obstacle = limits.obstacle(total.total)
        if obstacle is not None:
            raise TotalNotChargeableError(
                f"The total of {total.total} (minor units of {snapshot.currency})"
                f" {limits.explain(obstacle)}: change the hold",
                reason=obstacle,
                total=total.total,
                currency=snapshot.currency,
                minimum=limits.minimum,
                maximum=limits.maximum,
                step=limits.step,
            )
        return {
            "subtotal": total.subtotal,
            "discount": total.discount,
            "platform_fee": total.platform_fee,
            "payment_fee": total.payment_fee,
            "tax": total.tax,
            "total": total.total,
            "currency": snapshot.currency,
            "email": request.email,
            "name": request.name,
            "attendees": request.attendees,
            "provider": self._provider.name,
            "description": snapshot.event_name,
        }

    async def read(self, buyer: str, occurrence: str, order: str) -> OrderView:
        """Return the buyer's order. Raises ``OrderUnknownError``."""
        published = await self._occurrences.get(occurrence)
        found, now, wall = await self._read(published, buyer, order)
        return order_view(published, found, now, wall)

    async def cancel(self, buyer: str, occurrence: str, order: str) -> OrderView:
        """Cancel the buyer's pending order; repeating it changes nothing.

        Raises ``OrderUnknownError``, ``OrderStateError``.
        """
        published = await self._occurrences.get(occurrence)
        found, now, wall = await self._payments.cancel(published, order, buyer)
        return order_view(published, found, now, wall)

    async def settle(self, buyer: str, occurrence: str, order: str) -> OrderView:
        """Ask the provider about the buyer's order and do what it says, as far as it is its turn.

        Raises ``OrderUnknownError``, ``PaymentUnavailableError``.
        """
        published = await self._occurrences.get(occurrence)
        found, now, wall = await self._payments.settle(published, order, buyer)
        return order_view(published, found, now, wall)

    async def give_back(self, occurrence: str, order: str, reason: str) -> Order:
        """Refund what is left of a confirmed order's money, on behalf of the organizer.

        Raises ``OrderStateError``, ``OrderDisputedError``.
        """
        published = await self._occurrences.get(occurrence)
        found = await self._settlement.read(published, order)
        return await self._settlement.refunds.give_back(published, found, reason)

    async def refund_by_hand(
        self, occurrence: str, order: str, step: Literal["again", "elsewhere"], text: str = ""
    ) -> Order:
        """Try an owed refund again now, or note that the money went back another way.

        Raises ``OrderStateError`` when nothing is owed, what the provider raises.
        """
        published = await self._occurrences.get(occurrence)
        found = await self._settlement.read(published, order)
        return await self._settlement.refunds.by_hand(published, found, step, text)

    async def _read(self, published: Published, buyer: str, order: str) -> tuple[Order, int, int]:
        answer = await self._commands.read(published.place, "o", order, buyer)
        return decode_order(published, answer), answer[2], answer[3]
