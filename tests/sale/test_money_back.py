"""Money that goes another way than from a buyer to a ticket: every way of it has an end.

Each is a table of what happened at the provider, how the order stood, and who
told of it first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from prometheus_client import REGISTRY

from engine.core.errors import OrderDisputedError, OrderStateError, PaymentRefusedError
from engine.core.ids import new_id
from engine.embedded.stripe.faults import Fault
from engine.embedded.stripe.webhooks import Behaviour
from engine.sale.requests import LineRequest
from engine.sale.views import CheckoutView, OrderView
from tests.sale.conftest import Box, intent_of
from tests.sale.money_proof import assert_money_is_somewhere, come_to_rest

LATE_MS = 600_001
SEATS = LineRequest(ticket_type="stalls", seats=["A-1-1", "A-1-2"])


async def stand(box: Box, state: str, buyer: str) -> CheckoutView:
    """An order that is pending, cancelling (the worker died), or cancelled behind the provider."""
    checkout = await box.pending(buyer, SEATS)
    if state != "pending":
        await box.sale.commands.cancel(box.place, checkout.order.id, "expired", 30_000)
    if state == "cancelled":
        await box.sale.commands.release_order(box.place, checkout.order.id, intent_of(checkout))
    return checkout


async def by_webhook(box: Box, buyer: str, order: str) -> None:
    box.stripe.deliver(Behaviour(shuffle=True, duplicates=2))
    await box.until_settled()


async def by_client(box: Box, buyer: str, order: str) -> None:
    await box.sale.orders.settle(buyer, box.occurrence, order)


async def by_sweep(box: Box, buyer: str, order: str) -> None:
    await box.advance(LATE_MS)
    await box.sale.expiry.run_once()


async def by_list(box: Box, buyer: str, order: str) -> None:
    await box.sale.money.catch_up()


Teller = Callable[[Box, str, str], Awaitable[None]]
TELLERS: dict[str, Teller] = {
    "webhook": by_webhook, "client": by_client, "sweep": by_sweep, "list": by_list,
}  # fmt: skip


async def free_again(box: Box) -> bool:
    """Whether the two seats can be held by another."""
    try:
        await box.hold(new_id(), SEATS)
    except Exception as error:
        assert "cannot be had" in str(error) or "Nothing is left" in str(error), error
        return False
    return True


@pytest.mark.parametrize("teller", TELLERS)
@pytest.mark.parametrize("state", ["pending", "cancelling", "cancelled"])
@pytest.mark.parametrize(
    ("back", "status", "then"),
    [
        (None, "succeeded", ("refunded", "done")),
        (None, "pending", ("cancelled", "pending")),
        (None, "requires_action", ("cancelled", "pending")),
        (1, "succeeded", ("refunded", "done")),  # we give the rest back
        (1, "pending", ("cancelled", "pending")),
        (None, "failed", ("confirmed", "")),  # all of it is here
        (1, "canceled", ("confirmed", "")),
    ],
)
async def test_money_that_went_back_before_it_was_seen_buys_nothing(
    box: Box, state: str, teller: str, back: int | None, status: Any, then: tuple[str, str]
) -> None:
    if (state, teller) in {("cancelled", "client"), ("cancelled", "sweep")}:
        teller = "webhook"  # nobody asks about a cancelled order but for a message
    box.stripe.deliver(Behaviour(paused=True))
    buyer = new_id()
    checkout = await stand(box, state, buyer)
    order = checkout.order.id
    box.stripe.money.capture(intent_of(checkout))
    box.stripe.money.refund(intent_of(checkout), back, status)
    await TELLERS[teller](box, buyer, order)
    after = await box.order(buyer, order)
    assert (after.state, after.refund_state) == then
    assert await free_again(box) == (after.state != "confirmed")
    if after.state != "confirmed":
        assert after.tickets == []
        assert after.refund_due == 0
    box.stripe.deliver(Behaviour(duplicates=1))
    if status == "requires_action":
        box.stripe.money.end_refund("succeeded", intent=intent_of(checkout))
    await come_to_rest(box)
    again = await box.order(buyer, order)
    assert again.state == ("confirmed" if then[0] == "confirmed" else "refunded")
    await assert_money_is_somewhere(box)


WRONG = {"less": {"amount": -1}, "more": {"amount": 1}, "currency": {"currency": "usd"}}


@pytest.mark.parametrize("refund", ["made", "away", "failed", "pending"])
@pytest.mark.parametrize("teller", ["webhook", "client", "sweep"])
@pytest.mark.parametrize("state", ["pending", "cancelling", "cancelled"])
@pytest.mark.parametrize("wrong", WRONG)
async def test_other_money_than_was_waited_for_goes_back_and_the_order_ends(
    box: Box, wrong: str, state: str, teller: str, refund: str
) -> None:
    if state == "cancelled":
        teller = "webhook"
    box.stripe.deliver(Behaviour(paused=True))
    buyer = new_id()
    checkout = await stand(box, state, buyer)
    changes: dict[str, Any] = dict(WRONG[wrong])
    if "amount" in changes:
        changes["amount"] += checkout.order.total
    box.stripe.money.capture(intent_of(checkout), **changes)
    if refund == "away":
        box.stripe.fail(Fault(mode="unavailable", count=1_000, path="refunds", method="POST"))
    elif refund != "made":
        box.stripe.money.next_refunds(refund, 1)  # type: ignore[arg-type]
    await TELLERS[teller](box, buyer, checkout.order.id)
    after = await box.order(buyer, checkout.order.id)
    assert after.state in {"cancelled", "refunded"}
    assert await free_again(box)
    money = (await box.stored(checkout.order.id)).payment
    assert money
    states = {item.refund_state for item in money.everything}
    expected = {"made": "done", "away": "owed", "failed": "owed", "pending": "pending"}[refund]
    assert expected in states
    box.stripe.faults.clear()
    box.stripe.deliver(Behaviour())
    await come_to_rest(box)
    assert sum(charge.amount_refunded for charge in box.stripe.state.charges) >= sum(
        charge.amount_captured for charge in box.stripe.state.charges
    )
    await assert_money_is_somewhere(box)


@pytest.mark.parametrize("refund", ["made", "away"])
@pytest.mark.parametrize("state", ["pending", "cancelling", "cancelled", "confirmed", "free"])
async def test_the_money_of_another_intent_goes_back(box: Box, state: str, refund: str) -> None:
    buyer = new_id()
    if state == "confirmed":
        checkout = await box.confirmed(buyer, SEATS)
    elif state == "free":
        checkout = await box.pending(buyer, LineRequest(ticket_type="standing-reduced", quantity=2))
    else:
        checkout = await stand(box, state, buyer)
    order = checkout.order.id
    if refund == "away":
        box.stripe.fail(Fault(mode="unavailable", count=1_000, path="refunds", method="POST"))
    stray = await box.stray_intent(order, 7_777)
    box.stripe.money.capture(stray)
    await box.until_settled()
    stored = await box.stored(order)
    assert stored.payment
    (other,) = stored.payment.others
    assert (other.intent, other.captured, other.refund) == (stray, 7_777, 7_777)
    assert other.refund_state == ("done" if refund == "made" else "owed")
    await box.advance(31_000)
    await box.sale.expiry.run_once()
    after = await box.order(buyer, order)
    kept = state in {"confirmed", "free"}
    assert after.state == ("confirmed" if kept else "cancelled")
    if state == "pending":
        assert after.cancel_reason == "wrong_payment"
    if checkout.payment and not kept and state != "cancelled":
        assert box.stripe.state.intents.get(intent_of(checkout)).status == "canceled"
    box.stripe.faults.clear()
    await come_to_rest(box)
    assert (await box.order(buyer, order)).state == after.state
    await assert_money_is_somewhere(box)


async def test_two_intents_of_one_order_that_are_both_paid_are_paid_once(box: Box) -> None:
    buyer = new_id()
    checkout = await box.pending(buyer, SEATS)
    stray = await box.stray_intent(checkout.order.id, checkout.order.total)
    box.stripe.deliver(Behaviour(paused=True))
    box.stripe.money.capture(intent_of(checkout))
    box.stripe.money.capture(stray)
    box.stripe.deliver(Behaviour(shuffle=True, duplicates=3))
    await come_to_rest(box)
    after = await box.order(buyer, checkout.order.id)
    assert (after.state, after.captured, after.refunded) == (
        "confirmed", 2 * after.total, after.total
    )  # fmt: skip
    await assert_money_is_somewhere(box)


@pytest.mark.parametrize("status", ["succeeded", "pending"])
async def test_a_whole_refund_at_the_provider_ends_the_tickets(box: Box, status: Any) -> None:
    buyer = new_id()
    checkout = await box.confirmed(buyer, SEATS)
    box.stripe.money.refund(intent_of(checkout), None, status)
    after = await box.until_state(buyer, checkout.order.id, "refunded")
    assert after.tickets == []
    assert after.refund_state == ("done" if status == "succeeded" else "pending")
    assert await free_again(box)
    assert len(box.stripe.state.refunds) == 1
    await come_to_rest(box)
    await assert_money_is_somewhere(box)


async def test_parts_that_the_provider_gives_back_end_the_tickets_with_the_last(box: Box) -> None:
    buyer = new_id()
    checkout = await box.confirmed(buyer, SEATS)
    for part in (1_000, 500):
        box.stripe.money.refund(intent_of(checkout), part)
        await box.until_settled()
    after = await box.order(buyer, checkout.order.id)
    assert (after.state, after.refunded, after.refund_due) == ("confirmed", 1_500, 0)
    assert len(after.tickets) == 2
    box.stripe.money.refund(intent_of(checkout))
    await box.until_state(buyer, checkout.order.id, "refunded")
    await come_to_rest(box)
    await assert_money_is_somewhere(box)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("part", [1, 1_000, None])
async def test_our_own_refund_asks_only_for_what_is_left(
    box: Box, part: int | None, known: bool
) -> None:
    """Whether or not the message about what the provider gave back came before."""
    buyer = new_id()
    checkout = await box.confirmed(buyer, SEATS)
    total = checkout.order.total
    if not known:
        box.stripe.deliver_to(None)
    box.stripe.money.refund(intent_of(checkout), part)
    await box.until_settled()
    order = await box.sale.orders.give_back(box.occurrence, checkout.order.id, "asked")
    assert order.state == "refunded"
    assert order.payment
    assert (order.payment.refund_state, order.payment.refunded) == ("done", total)
    amounts = [refund.amount for refund in box.stripe.state.refunds]
    assert amounts == ([total] if part is None else [part, total - part])
    await assert_money_is_somewhere(box)


async def test_what_was_given_back_between_look_and_refund_is_not_asked_for(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refund is refused; that is no outage, and what is left is asked for."""
    buyer = new_id()
    checkout = await box.confirmed(buyer, SEATS)
    box.stripe.deliver_to(None)
    ask = box.sale.settlement.refunds._provider.refund
    between = [1_000]

    async def meanwhile(**named: Any) -> Any:
        if between:
            box.stripe.money.refund(intent_of(checkout), between.pop())
        return await ask(**named)

    monkeypatch.setattr(box.sale.settlement.refunds._provider, "refund", meanwhile)
    order = await box.sale.orders.give_back(box.occurrence, checkout.order.id, "asked")
    assert order.payment
    assert order.payment.tries == 0
    await box.money_round()
    stored = (await box.stored(checkout.order.id)).payment
    assert stored
    assert (stored.refund_state, stored.refunded) == ("done", checkout.order.total)
    await assert_money_is_somewhere(box)


@pytest.mark.parametrize("status", ["failed", "canceled"])
@pytest.mark.parametrize("when", ["at once", "later", "after pending"])
async def test_a_refund_that_comes_to_nothing_is_owed_again_and_made_again(
    box: Box, status: Any, when: str
) -> None:
    buyer = new_id()
    checkout = await box.confirmed(buyer, SEATS)
    order, total = checkout.order.id, checkout.order.total
    if when != "later":
        box.stripe.money.next_refunds(status if when == "at once" else "pending", 1)
    await box.sale.orders.give_back(box.occurrence, order, "asked")
    if when != "at once":
        await box.until_settled()
        before = await box.order(buyer, order)
        assert before.refund_state == ("done" if when == "later" else "pending")
        box.stripe.money.end_refund(status, intent=intent_of(checkout))
    await box.until_settled()
    after = await box.order(buyer, order)
    assert (after.state, after.refund_state, after.refund_due) == ("refunded", "owed", total)
    stored = (await box.stored(order)).payment
    assert stored
    assert (stored.tries, bool(stored.failure)) == (1, True)
    await come_to_rest(box)
    done = await box.order(buyer, order)
    assert (done.refund_state, done.refund_due, done.refunded) == ("done", 0, total)
    await assert_money_is_somewhere(box)


@pytest.mark.parametrize("status", ["pending", "requires_action"])
async def test_a_refund_on_its_way_is_followed_without_any_message(box: Box, status: Any) -> None:
    buyer = new_id()
    checkout = await box.confirmed(buyer, SEATS)
    box.stripe.deliver_to(None)
    box.stripe.money.next_refunds(status, 1)
    await box.sale.orders.give_back(box.occurrence, checkout.order.id, "asked")
    view = await box.order(buyer, checkout.order.id)
    assert (view.refund_state, view.refunding) == ("pending", view.total)
    box.stripe.money.end_refund("succeeded", intent=intent_of(checkout))
    await box.money_round()
    assert (await box.order(buyer, checkout.order.id)).refund_state == "done"


async def test_a_refund_that_fails_again_and_again_is_raised_to_a_person(
    box: Box, caplog: pytest.LogCaptureFixture
) -> None:
    buyer = new_id()
    checkout = await box.confirmed(buyer, SEATS)
    order = checkout.order.id
    box.stripe.deliver_to(None)  # its messages would look in between, and count nothing
    box.stripe.money.next_refunds("failed", 1_000)
    await box.sale.orders.give_back(box.occurrence, order, "asked")
    waits: list[float] = []
    for _ in range(4):
        waits.append(await box.next_look(order))
        await box.money_round()
    assert waits == sorted(waits)
    assert waits[-1] > 10 * waits[0]
    await box.until_settled()
    assert (await box.order(buyer, order)).refund_state == "failed"
    assert "a person must look" in caplog.text
    assert REGISTRY.get_sample_value("onsale_money_raised_orders") == 0  # as of the round before
    await box.money_round()
    assert REGISTRY.get_sample_value("onsale_money_raised_orders") == 1
    asked = len(box.stripe.state.refunds)
    for _ in range(3):
        await box.money_round()
    assert len(box.stripe.state.refunds) == asked == 5  # never for ever
    published = await box.sale.published(box.occurrence)
    assert [found.id async for found in box.sale.money.followed(published)] == [order]
    box.stripe.money.next_refunds("succeeded", 0)
    await box.sale.orders.refund_by_hand(box.occurrence, order, "again")
    assert (await box.order(buyer, order)).refund_state == "done"
    assert [found.id async for found in box.sale.money.followed(published)] == []
    with pytest.raises(OrderStateError):
        await box.sale.orders.refund_by_hand(box.occurrence, order, "again")
    await assert_money_is_somewhere(box)


async def test_trying_again_by_hand_tries_as_often_as_before(box: Box) -> None:
    buyer = new_id()
    checkout = await box.confirmed(buyer, SEATS)
    box.stripe.money.next_refunds("failed", 1_000)
    await box.sale.orders.give_back(box.occurrence, checkout.order.id, "asked")
    for _ in range(8):
        await box.money_round()
    await box.sale.orders.refund_by_hand(box.occurrence, checkout.order.id, "again")
    assert (await box.order(buyer, checkout.order.id)).refund_state == "owed"
    for _ in range(8):
        await box.money_round()
    assert (await box.order(buyer, checkout.order.id)).refund_state == "failed"
    assert len(box.stripe.state.refunds) == 10
    elsewhere = await box.sale.orders.refund_by_hand(
        box.occurrence, checkout.order.id, "elsewhere", "bank transfer 4711"
    )
    assert elsewhere.payment
    assert (elsewhere.payment.refund_state, elsewhere.payment.owed) == ("done", 0)
    view = await box.order(buyer, checkout.order.id)
    assert (view.refunded, view.refund_due) == (view.total, 0)


async def test_a_refund_that_the_provider_refuses_is_counted_and_raised(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    buyer = new_id()
    checkout = await box.confirmed(buyer, SEATS)

    async def refuses(**named: Any) -> Any:
        raise PaymentRefusedError(provider_code="insufficient_funds")

    with monkeypatch.context() as patch:
        patch.setattr(box.sale.settlement.refunds._provider, "refund", refuses)
        await box.sale.orders.give_back(box.occurrence, checkout.order.id, "asked")
        for _ in range(6):
            await box.money_round()
    stored = (await box.stored(checkout.order.id)).payment
    assert stored
    assert (stored.refund_state, stored.tries, stored.failure) == (
        "failed", 5, "insufficient_funds"
    )  # fmt: skip


async def test_an_outage_is_no_try(box: Box) -> None:
    buyer = new_id()
    checkout = await box.confirmed(buyer, SEATS)
    box.stripe.fail(Fault(mode="unavailable", count=10_000, path="refunds"))
    await box.sale.orders.give_back(box.occurrence, checkout.order.id, "asked")
    for _ in range(7):
        await box.money_round()
    assert (await box.order(buyer, checkout.order.id)).refund_state == "owed"
    box.stripe.faults.clear()
    await box.money_round()
    assert (await box.order(buyer, checkout.order.id)).refund_state == "done"


async def test_money_goes_back_while_the_sale_is_paused(box: Box) -> None:
    buyer = new_id()
    checkout = await box.confirmed(buyer, SEATS)
    box.stripe.fail(Fault(mode="unavailable", count=10_000, path="refunds"))
    await box.sale.orders.give_back(box.occurrence, checkout.order.id, "asked")
    await box.sale.pause(box.occurrence)
    box.stripe.faults.clear()
    await box.money_round()
    assert (await box.order(buyer, checkout.order.id)).refund_state == "done"


@pytest.mark.parametrize("told", ["webhook", "list", "round"])
@pytest.mark.parametrize(
    ("steps", "then"),
    [
        (["needs_response"], ("confirmed", "open")),
        (["needs_response", "under_review"], ("confirmed", "open")),
        (["needs_response", "won"], ("confirmed", "won")),
        (["needs_response", "lost"], ("refunded", "lost")),
        (["warning_needs_response"], ("confirmed", "inquiry")),
        (["warning_needs_response", "warning_closed"], ("confirmed", "won")),
        (["warning_needs_response", "needs_response", "lost"], ("refunded", "lost")),
    ],
)
async def test_a_dispute_is_followed_to_its_end(
    box: Box, steps: list[Any], then: tuple[str, str], told: str
) -> None:
    buyer = new_id()
    checkout = await box.confirmed(buyer, SEATS)
    if told != "webhook":
        box.stripe.deliver_to(None)
    box.stripe.money.dispute(intent_of(checkout), steps[0])
    if told == "round":
        await box.sale.money.catch_up()  # it is known; from here on nothing tells of it
    for status in steps[1:]:
        box.stripe.money.end_dispute(intent_of(checkout), status)
    await box.until_settled()
    await (box.sale.money.catch_up() if told == "list" else box.money_round())
    after = await box.order(buyer, checkout.order.id)
    assert (after.state, after.dispute) == then
    assert await free_again(box) == (after.state == "refunded")
    assert len(box.stripe.state.refunds) == 0
    await assert_money_is_somewhere(box)


async def test_a_disputed_order_is_not_refunded_and_says_why(box: Box) -> None:
    buyer = new_id()
    checkout = await box.confirmed(buyer, SEATS)
    box.stripe.deliver_to(None)
    box.stripe.money.dispute(intent_of(checkout))  # and nobody has told of it yet
    with pytest.raises(OrderDisputedError):
        await box.sale.orders.give_back(box.occurrence, checkout.order.id, "asked")
    assert (await box.order(buyer, checkout.order.id)).state == "confirmed"
    box.stripe.money.end_dispute(intent_of(checkout), "won")
    order = await box.sale.orders.give_back(box.occurrence, checkout.order.id, "asked")
    assert order.payment
    assert order.payment.refund_state == "done"
    await assert_money_is_somewhere(box)


@pytest.mark.parametrize("end", ["won", "lost"])
async def test_what_is_owed_waits_while_the_bank_decides(box: Box, end: str) -> None:
    """A dispute that comes while a refund is owed: lost, it is the refund; won, it is owed again."""
    buyer = new_id()
    checkout = await box.confirmed(buyer, SEATS)
    box.stripe.fail(Fault(mode="unavailable", count=1_000, path="refunds", method="POST"))
    await box.sale.orders.give_back(box.occurrence, checkout.order.id, "asked")
    box.stripe.faults.clear()
    box.stripe.money.dispute(intent_of(checkout))
    await box.until_settled()
    await box.money_round()
    view = await box.order(buyer, checkout.order.id)
    assert (view.refund_state, view.refund_due, view.dispute) == ("pending", 0, "open")
    box.stripe.money.end_dispute(intent_of(checkout), end)
    await come_to_rest(box)
    after: OrderView = await box.order(buyer, checkout.order.id)
    assert (after.refund_state, after.refund_due) == ("done", 0)
    assert after.refunded == (after.total if end == "won" else 0)
    await assert_money_is_somewhere(box)


async def test_an_old_answer_of_the_provider_never_overwrites_a_newer_one(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between our question and our note everything goes back: the note is made anew."""
    buyer = new_id()
    checkout = await box.pending(buyer, SEATS)
    box.stripe.deliver_to(None)
    box.stripe.money.capture(intent_of(checkout))
    confirm = box.sale.commands.confirm
    between = [True]

    async def slow(*arguments: Any, **named: Any) -> Any:
        if between:
            between.pop()
            box.stripe.money.refund(intent_of(checkout))
            await box.sale.settlement.refunds.look(
                await box.sale.published(box.occurrence), checkout.order.id, intent_of(checkout)
            )
        return await confirm(*arguments, **named)

    monkeypatch.setattr(box.sale.commands, "confirm", slow)
    await box.sale.orders.settle(buyer, box.occurrence, checkout.order.id)
    after = await box.order(buyer, checkout.order.id)
    assert (after.state, after.refund_state) == ("refunded", "done")
    assert after.version == 2
    assert len(box.stripe.state.refunds) == 1


class Killed(BaseException):
    """The process is gone."""


STEPS = ("read", "confirm", "return_order", "retrieve_intent", "read_funds", "refund")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("nth", range(6))
@pytest.mark.parametrize("scenario", ["give_back", "wrong", "other"])
async def test_a_kill_anywhere_loses_no_debt(
    box: Box, monkeypatch: pytest.MonkeyPatch, scenario: str, nth: int, after: bool
) -> None:
    """The nth call of the store or of the provider is the last, made or not; another goes on."""
    buyer = new_id()
    checkout = await (
        box.pending(buyer, SEATS) if scenario == "wrong" else box.confirmed(buyer, SEATS)
    )
    order, intent = checkout.order.id, intent_of(checkout)
    box.stripe.deliver_to(None)
    if scenario == "wrong":
        box.stripe.money.capture(intent, 5)
    elif scenario == "other":
        intent = await box.stray_intent(order, 5_000)
        box.stripe.money.capture(intent)
    refunds, calls = box.sale.settlement.refunds, [0]

    def killing(function: Any) -> Any:
        async def call(*arguments: Any, **named: Any) -> Any:
            calls[0] += 1
            if calls[0] > nth and not after:
                raise Killed
            answer = await function(*arguments, **named)
            if calls[0] > nth:
                raise Killed
            return answer

        return call

    published = await box.sale.published(box.occurrence)
    with monkeypatch.context() as patch:
        for name in STEPS:
            for owner in (refunds._commands, refunds._provider):
                if hasattr(owner, name):
                    patch.setattr(owner, name, killing(getattr(owner, name)))
        try:
            if scenario == "give_back":
                await refunds.give_back(published, await box.stored(order), "asked")
            else:
                await refunds.follow(published, order, intent)
        except Killed:
            pass
    if scenario == "give_back" and (await box.stored(order)).state == "confirmed":
        await refunds.give_back(published, await box.stored(order), "asked")  # asked for again
    await come_to_rest(box)
    assert (await box.order(buyer, order)).state == (
        "confirmed" if scenario == "other" else "refunded"
    )
    assert len(box.stripe.state.refunds) == 1
    await assert_money_is_somewhere(box)
