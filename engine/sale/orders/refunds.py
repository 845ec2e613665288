"""Money that goes back: what is owed is asked for, and followed until it has arrived.

What the provider says *now* decides, never a message or a memory of ours: an
intent's money is read, and ``order_confirm`` makes of it what it means. What
is owed is in the order before it is asked for, so a kill loses nothing. The
version of the order, read before the provider is asked, keeps an older answer
from overwriting a newer one. (docs/adr/0010)
"""

from __future__ import annotations

import logging
from typing import Any, Literal

import msgspec

from engine.core.errors import OnsaleError
from engine.payments.errors import PaymentRefusedError, PaymentUnavailableError
from engine.payments.provider import Funds, Intent, PaymentProvider
from engine.platform.valkey.codes import Code
from engine.sale import metrics
from engine.sale.answers import decode, decode_order
from engine.sale.commands import Commands
from engine.sale.documents import Money, Order
from engine.sale.errors import OrderDisputedError, OrderStateError
from engine.sale.inventory.occurrences import Published

log = logging.getLogger(__name__)

_LOOKS_MAX = 8  # an order that changes each time while the provider is asked
_UNEXPECTED = "unexpected"  # the reason of giving back what no order waited for


class Refunds:
    """Gives money back, one order at a time. Everything may be repeated, by anybody."""

    def __init__(self, commands: Commands, provider: PaymentProvider) -> None:
        self._commands = commands
        self._provider = provider

    async def read(self, published: Published, order: str) -> Order:
        """Return an order. Raises ``OrderUnknownError``."""
        return decode_order(published, await self._commands.read(published.place, "o", order))

    async def take(self, published: Published, order: Order, intent: Intent) -> Order:
        """Make the order what a captured intent says, and ask for what became owed.

        ``order``: as it was before the intent was asked for.
        """
        after = await self._note(published, order, intent)
        if after is None:
            after = await self.look(published, order.id, intent.id)
        return await self.ask_new(published, after)

    async def follow(self, published: Published, order: str, intent: str) -> Order:
        """Look at an intent's money now, and ask for what became owed."""
        return await self.ask_new(published, await self.look(published, order, intent))

    async def look(self, published: Published, order: str, intent: str) -> Order:
        """Make the order what the provider says now of an intent's money.

        Raises what the provider raises.
        """
        for _ in range(_LOOKS_MAX):
            before = await self.read(published, order)
            found = await self._provider.retrieve_intent(intent)
            after = await self._note(published, before, found)
            if after is not None:
                return after
        raise PaymentUnavailableError(
            "This order changes too quickly; try again in a moment.", retry_after_s=1
        )

    async def _note(self, published: Published, order: Order, intent: Intent) -> Order | None:
        """Note an intent's money; None when the order has changed since ``order`` was read."""
        if not intent.captured:
            return order
        before = _money_of(order, intent.id)
        closely = before is not None and before.has_history
        funds = await self._provider.read_funds(intent, closely=closely)
        answer = await self._commands.confirm(
            published.place,
            order.id,
            intent.id,
            intent.captured,
            _said(funds),
            version=order.version,
        )
        if answer[0] == Code.ORDER_CHANGED:
            return None
        if answer[0] == Code.ORDER_STATE:
            log.error(
                "order %s: intent %s captured %d and is one too many: give it back by hand",
                order.id,
                intent.id,
                intent.captured,
            )
            return decode(answer[1])
        after = decode_order(published, answer)
        _tell(after, before, _money_of(after, intent.id))
        return after

    async def ask_new(self, published: Published, order: Order) -> Order:
        """Ask for what is owed and was not asked for before; what fails is done later."""
        for money in _everything(order):
            if money.refund_state != "owed" or money.tries:
                continue
            try:
                order = await self._ask(published, order, money)
            except OnsaleError as error:
                metrics.REFUNDS.labels("later").inc()
                log.warning("order %s is refunded later: %s", order.id, error)
        return order

    async def settle(self, published: Published, order: Order) -> Order:
        """Take one step with all money that is followed. Raises what the provider raises."""
        for money in _everything(order):
            if not money.is_followed:
                continue
            try:
                order = await self.look(published, order.id, money.intent)
            except PaymentRefusedError as error:
                order = await self._refused(published, order, money, error)
                continue
            now = _money_of(order, money.intent)
            if now is not None and now.refund_state == "owed":
                order = await self._ask(published, order, now)
        return order

    async def _ask(self, published: Published, order: Order, money: Money) -> Order:
        """Ask the provider for what is owed of an intent."""
        own = order.payment is not None and order.payment.intent == money.intent
        reason = order.payment.refund_reason if order.payment and own else ""
        try:
            refund = await self._provider.refund(
                intent=money.intent,
                order=order.id,
                amount=money.owed,
                reason=reason or _UNEXPECTED,
                # what went back before tells this attempt from all others
                attempt=f"{money.refunded + money.refunding}-{money.failed}-{money.tries}",
            )
        except PaymentRefusedError as error:
            # it may be that all went back already, or that the bank has it: then nothing is owed
            after = await self.look(published, order.id, money.intent)
            now = _money_of(after, money.intent)
            if now is None or now.owed != money.owed:
                return after
            return await self._refused(published, after, now, error)
        metrics.REFUNDS.labels(refund.status).inc()
        return await self.look(published, order.id, money.intent)

    async def _refused(
        self, published: Published, order: Order, money: Money, error: PaymentRefusedError
    ) -> Order:
        code = str(error.extra.get("provider_code", error.code))
        log.warning("order %s: the provider refuses its refund: %s", order.id, code)
        metrics.REFUNDS.labels("refused").inc()
        if not money.owed:
            return order
        answer = await self._commands.refund(
            published.place, order.id, money.intent, "refused", code[:255]
        )
        if answer[0] == Code.ORDER_STATE:
            return decode(answer[1])
        after = decode_order(published, answer)
        _tell(after, money, _money_of(after, money.intent))
        return after

    async def give_back(self, published: Published, order: Order, reason: str) -> Order:
        """Take a confirmed order back: its seats go on sale, its money goes to the buyer.

        Only what is left of the money is asked for. Raises ``OrderStateError``,
        ``OrderDisputedError``.
        """
        for money in _everything(order):
            if money.captured:
                try:
                    await self.look(published, order.id, money.intent)
                except PaymentUnavailableError as error:
                    log.warning("order %s is taken back unseen: %s", order.id, error)
        answer = await self._commands.return_order(published.place, order.id, reason)
        if answer[0] == Code.ORDER_STATE:
            state = decode(answer[1]).state
            raise OrderStateError(f"This order is {state} and cannot be given back", state=state)
        if answer[0] == Code.DISPUTED:
            raise OrderDisputedError(
                "The buyer's bank has taken this order's money back and has not decided yet:"
                " answer the dispute at the provider, or wait until it is closed"
            )
        return await self.ask_new(published, decode_order(published, answer))

    async def by_hand(
        self,
        published: Published,
        order: Order,
        step: Literal["again", "elsewhere"],
        text: str = "",
    ) -> Order:
        """Do what a person says with all money that is owed: try again, or note that it is back.

        ``text``: how it went back elsewhere. Raises ``OrderStateError`` when nothing is owed.
        """
        owed = [money for money in _everything(order) if money.owed]
        if not owed:
            raise OrderStateError("Nothing is owed of this order", state=order.state)
        for money in owed:
            order = decode_order(
                published,
                await self._commands.refund(published.place, order.id, money.intent, step, text),
            )
        return await self.settle(published, order) if step == "again" else order


def _everything(order: Order) -> list[Money]:
    return order.payment.everything if order.payment else []


def _money_of(order: Order, intent: str) -> Money | None:
    found = [money for money in _everything(order) if money.intent == intent]
    return found[-1] if found else None  # the own intent's in another currency is among the others


def _said(funds: Funds) -> dict[str, Any]:
    said: dict[str, Any] = msgspec.structs.asdict(funds)
    said["failure"] = funds.failure[:255]
    del said["captured"]
    return said


def _tell(order: Order, before: Money | None, after: Money | None) -> None:
    """Say what a person should know of."""
    if after is None:
        return
    if after.dispute != (before.dispute if before else ""):
        metrics.DISPUTES.labels(after.dispute or "none").inc()
        log.warning(
            "order %s: its dispute is %s, %d withdrawn",
            order.id,
            after.dispute or "gone",
            after.withdrawn,
        )
    if after.refund_state == "failed" and (before is None or before.refund_state != "failed"):
        log.error(
            "order %s: %d of intent %s could not be given back (%d tries, the last: %s): a person"
            " must look, see `onsale refunds`",
            order.id,
            after.owed,
            after.intent,
            after.tries,
            after.failure,
        )
    if before is not None and after.failed > before.failed:
        metrics.REFUNDS.labels("failed").inc()
        log.warning("order %s: a refund failed (%s)", order.id, after.failure)
