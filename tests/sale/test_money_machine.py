"""Whatever buyers, banks, the provider's dashboard and time do to money: it ends somewhere.

Seeded walks over the real look-alike and the real store. Messages are lost,
doubled and shuffled; a step may die at any call of the provider or the store.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from devkit.stripe.errors import ApiError
from devkit.stripe.faults import Fault
from devkit.stripe.webhooks import Behaviour
from engine.core.errors import OnsaleError
from engine.core.ids import new_id
from engine.sale.requests import LineRequest
from tests.sale.conftest import Box, intent_of
from tests.sale.money_proof import assert_money_is_somewhere, come_to_rest, orders_of

LINES = [
    LineRequest(ticket_type="stalls", quantity=2),
    LineRequest(ticket_type="balcony", quantity=1),
    LineRequest(ticket_type="standing", quantity=3),
]
ENDS = ["succeeded", "failed", "canceled", "pending", "requires_action"]


class Walk:
    """One sale, one source of chance. Steps that cannot be taken change nothing."""

    def __init__(self, box: Box, seed: int, hook: str) -> None:
        self.box = box
        self.chance = random.Random(seed)  # noqa: S311 - chooses a test's steps
        self.hook = hook
        self.steps: list[Callable[[], Awaitable[object]]] = [
            self.place, self.place, self.capture, self.capture, self.capture, self.stray,
            self.refund_there, self.refund_here, self.end_refund, self.fail_refunds, self.dispute,
            self.end_dispute, self.cancel, self.settle, self.wait, self.work, self.messages,
            self.break_provider, self.again,
        ]  # fmt: skip
        self.told = ""

    async def step(self) -> None:
        step = self.chance.choice(self.steps)
        self.told += f" {step.__name__}"
        try:
            await step()
        except (OnsaleError, ApiError) as error:
            self.told += f"({getattr(error, 'code', error)})"

    def intent(self) -> str:
        intents = [item.id for item in self.box.stripe.state.intents]
        return self.chance.choice(intents) if intents else "pi_none"

    async def order(self) -> tuple[str, str]:
        orders = await orders_of(self.box)
        chosen = self.chance.choice(orders) if orders else None
        return (chosen.buyer, chosen.id) if chosen else (new_id(), new_id())

    async def place(self) -> None:
        checkout = await self.box.pending(new_id(), self.chance.choice(LINES))
        if self.chance.random() < 0.5:
            self.box.stripe.money.capture(intent_of(checkout))

    async def capture(self) -> None:
        intent = self.intent()
        wanted = self.box.stripe.state.intents.get(intent).amount
        changes: dict[str, Any] = self.chance.choice(
            [{}, {}, {"amount": wanted - 1}, {"amount": wanted + 1}, {"currency": "usd"}]
        )
        self.box.stripe.money.capture(intent, **changes)

    async def stray(self) -> None:
        self.box.stripe.faults.clear()
        if orders := await orders_of(self.box):
            stray = await self.box.stray_intent(self.chance.choice(orders).id, 500)
            self.box.stripe.money.capture(stray)

    async def refund_there(self) -> None:
        amount = self.chance.choice([None, None, 1, 700])
        self.box.stripe.money.refund(
            self.intent(), amount, self.chance.choice(["succeeded", "pending", "requires_action"])
        )

    async def refund_here(self) -> None:
        _, order = await self.order()
        await self.box.sale.orders.give_back(self.box.occurrence, order, "asked")

    async def end_refund(self) -> None:
        self.box.stripe.money.end_refund(self.chance.choice(ENDS), intent=self.intent())  # type: ignore[arg-type]

    async def fail_refunds(self) -> None:
        self.box.stripe.money.next_refunds(
            self.chance.choice(ENDS),  # type: ignore[arg-type]
            self.chance.choice([1, 1, 2, 7]),
        )

    async def dispute(self) -> None:
        status = self.chance.choice(["needs_response", "warning_needs_response"])
        self.box.stripe.money.dispute(self.intent(), status)

    async def end_dispute(self) -> None:
        status = self.chance.choice(["won", "lost", "under_review", "warning_closed"])
        self.box.stripe.money.end_dispute(self.intent(), status)

    async def cancel(self) -> None:
        buyer, order = await self.order()
        await self.box.sale.orders.cancel(buyer, self.box.occurrence, order)

    async def settle(self) -> None:
        buyer, order = await self.order()
        await self.box.sale.orders.settle(buyer, self.box.occurrence, order)

    async def again(self) -> None:
        _, order = await self.order()
        await self.box.sale.orders.refund_by_hand(self.box.occurrence, order, "again")

    async def wait(self) -> None:
        await self.box.advance(self.chance.choice([31_000, 601_000]))

    async def work(self) -> None:
        await self.box.sale.expiry.run_once()
        await self.box.money_round()

    async def messages(self) -> None:
        """Lose all messages from here on, or deliver them doubled and shuffled."""
        self.box.stripe.deliver_to(self.chance.choice([None, self.hook, self.hook]))
        self.box.stripe.deliver(
            Behaviour(shuffle=True, duplicates=self.chance.choice([0, 1]), paused=False)
        )

    async def break_provider(self) -> None:
        mode = self.chance.choice(["unavailable", "error", "drop"])
        when = self.chance.choice(["before", "after"])
        path = self.chance.choice(["refunds", "payment_intents", ""])
        self.box.stripe.fail(Fault(mode=mode, when=when, path=path, count=2))  # type: ignore[arg-type]

    async def end(self) -> None:
        """The provider is well again, what it is about ends, and nobody does anything more."""
        self.box.stripe.faults.clear()
        self.box.stripe.money.next_refunds("succeeded", 0)
        for refund in list(self.box.stripe.state.refunds):
            if refund.status == "requires_action":
                self.box.stripe.money.end_refund("succeeded", refund=refund.id)
        self.box.stripe.deliver_to(self.hook)
        await self.box.advance(700_000)
        await come_to_rest(self.box)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(24))
async def test_money_ends_somewhere_whatever_happens(box: Box, seed: int) -> None:
    walk = Walk(box, seed, box.stripe.webhooks.url or "")
    for _ in range(40):
        await walk.step()
    await walk.end()
    try:
        await assert_money_is_somewhere(box)
    except (AssertionError, KeyError) as error:
        raise AssertionError(f"seed {seed}:{walk.told}") from error
