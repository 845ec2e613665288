"""A process that dies between store and provider loses no debt, and gives nothing back twice."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from engine.core.ids import new_id
from engine.sale.orders.refunds import Refunds
from tests.sale.conftest import Box, intent_of
from tests.sale.money_proof import SEATS, assert_money_is_somewhere, come_to_rest

STEPS = ("read", "confirm", "return_order", "retrieve_intent", "read_funds", "refund")


class Killed(BaseException):
    """The process is gone."""


class Mortal:
    """Lets the nth call of the store or the provider be the last, made or not."""

    def __init__(self, nth: int, *, made: bool) -> None:
        self._left = nth
        self._made = made

    def patch(self, patch: pytest.MonkeyPatch, refunds: Refunds) -> None:
        for name in STEPS:
            for owner in (refunds._commands, refunds._provider):
                if hasattr(owner, name):
                    patch.setattr(owner, name, self._killing(getattr(owner, name)))

    def _killing(self, function: Any) -> Any:
        async def call(*arguments: Any, **named: Any) -> Any:
            last = self._left == 0
            self._left -= 1
            if last and not self._made:
                raise Killed
            answer = await function(*arguments, **named)
            if last:
                raise Killed
            return answer

        return call


async def begin(box: Box, scenario: str) -> tuple[str, str]:
    """Make an order and money that is to go back. Returns the order and the intent."""
    if scenario == "wrong":
        checkout = await box.pending(new_id(), SEATS)
    else:
        checkout = await box.confirmed(new_id(), SEATS)
    box.stripe.deliver_to(None)
    order, intent = checkout.order.id, intent_of(checkout)
    if scenario == "wrong":
        box.stripe.money.capture(intent, 5)
    elif scenario == "other":
        intent = await box.stray_intent(order, 5_000)
        box.stripe.money.capture(intent)
    return order, intent


@pytest.mark.parametrize("made", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("nth", range(8))
@pytest.mark.parametrize("scenario", ["give_back", "wrong", "other"])
async def test_a_kill_anywhere_loses_no_debt(
    box: Box, monkeypatch: pytest.MonkeyPatch, scenario: str, nth: int, made: bool
) -> None:
    order, intent = await begin(box, scenario)
    refunds = box.sale.settlement.refunds
    published = await box.sale.published(box.occurrence)

    async def act() -> None:
        if scenario == "give_back":
            await refunds.give_back(published, await box.stored(order), "asked")
        else:
            await refunds.follow(published, order, intent)

    with monkeypatch.context() as patch:
        Mortal(nth, made=made).patch(patch, refunds)
        with contextlib.suppress(Killed):
            await act()
    if scenario == "give_back" and (await box.stored(order)).state == "confirmed":
        await act()  # nobody was told that it was done, and asks again
    await come_to_rest(box)
    assert (await box.stored(order)).state == ("confirmed" if scenario == "other" else "refunded")
    assert len(box.stripe.state.refunds) == 1
    await assert_money_is_somewhere(box)
