from __future__ import annotations

from typing import Any

import msgspec
import pytest

from engine.core.ids import new_id
from engine.platform.valkey.codes import Code
from engine.sale.documents import Order
from tests.store.conftest import BODY, House, key

STALLS, BALCONY, ACCESSIBLE, STANDING, REDUCED = range(5)
AGAIN_MS = 30_000


def decoded(answer: list[Any]) -> Order:
    assert answer[0] == Code.OK, answer
    return msgspec.msgpack.decode(answer[1], type=Order)


async def pending(house: House) -> Order:
    hold = await house.hold([STALLS, 2, [0, 0, 0, 1], False], [STANDING, 1, False, False])
    return await house.order(hold)


async def cancelled(house: House) -> Order:
    order = await pending(house)
    await house.commands.cancel(house.place, order.id, "expired", AGAIN_MS)
    return decoded(await house.commands.release_order(house.place, order.id, "pi_1"))


async def test_an_order_keeps_the_holds_stock_and_has_its_prices(house: House) -> None:
    order = await pending(house)
    assert (order.state, order.version, order.sequence) == ("pending", 1, 1)
    assert (order.shard, order.occurrence) == (7, house.snapshot.occurrence)
    assert order.total == 7500
    assert (await house.counter("category:Stalls")).held == 2
    assert await house.records() == ["order.placed"]


async def test_a_confirmed_order_is_sold_and_confirming_again_changes_nothing(
    house: House,
) -> None:
    order = await pending(house)
    commands, place = house.commands, house.place
    for _ in range(2):
        after = decoded(await commands.confirm(place, order.id, "pi_1", 7500))
        assert (after.state, after.version) == ("confirmed", 2)
        assert after.payment is not None
        assert (after.payment.intent, after.payment.captured) == ("pi_1", 7500)
    assert (await house.counter("category:Stalls")).sold == 2
    assert await house.records() == ["order.placed", "order.confirmed"]


async def test_the_same_hold_gives_the_same_order_whatever_the_key(house: House) -> None:
    hold = await house.hold([STANDING, 2, False, False])
    first, second = await house.order(hold), await house.order(hold)
    assert first == second
    assert await house.records() == ["order.placed"]


async def test_a_key_that_was_used_with_another_body_is_refused(house: House) -> None:
    hold = await house.hold([STANDING, 1, False, False])
    details = {
        "currency": "EUR", "subtotal": 1500, "discount": 0, "platform_fee": 0, "payment_fee": 0,
        "tax": 0, "total": 1500, "email": "a@b.c", "name": "A", "attendees": [], "provider": "p",
    }  # fmt: skip
    used = key()
    arguments = (house.place, hold.buyer, hold.id, 1, new_id(), used)
    first = await house.commands.place_order(*arguments, BODY, details)
    again = await house.commands.place_order(*arguments, BODY, details)
    other = await house.commands.place_order(*arguments, b"o" * 16, details)
    assert decoded(first) == decoded(again)
    assert other == [Code.KEY_REUSED]


async def test_a_hold_that_changed_meanwhile_makes_no_order(house: House) -> None:
    hold = await house.hold([STANDING, 1, False, False])
    await house.commands.extend(house.place, hold.buyer, hold.id, key(), BODY)
    assert await house.try_order(hold) == [Code.HOLD_CHANGED]


async def test_an_expired_hold_makes_no_order(house: House) -> None:
    hold = await house.hold([STANDING, 1, False, False])
    await house.advance(420_001)
    assert await house.try_order(hold) == [Code.HOLD_ENDED, b"expired", b""]


@pytest.mark.parametrize(
    "changes",
    [
        {"total": 1},
        {"subtotal": 1, "total": 1},
        {"subtotal": -1500, "total": -1500},
        {"discount": 0.5, "total": 1499.5},
        {"email": "x" * 255},
        {"attendees": ["A", "B"]},
        {"currency": "EURO"},
    ],
)
async def test_an_order_that_does_not_add_up_is_refused(
    house: House, changes: dict[str, Any]
) -> None:
    hold = await house.hold([STANDING, 1, False, False])
    assert await house.try_order(hold, **changes) == [Code.INVALID]
    assert await house.records() == []


async def test_a_free_order_is_confirmed_at_once(house: House) -> None:
    hold = await house.hold([REDUCED, 2, False, False])
    order = await house.order(hold)
    assert (order.state, order.payment) == ("confirmed", None)
    assert await house.records() == ["order.confirmed"]


async def test_a_due_order_is_told_again_and_again_and_keeps_its_seats(house: House) -> None:
    order = await pending(house)
    await house.advance(600_001)
    assert await house.sweep() == (0, [order.id])
    assert await house.sweep() == (0, [])
    await house.advance(AGAIN_MS)
    assert await house.sweep() == (0, [order.id])
    assert (await house.counter("category:Stalls")).held == 2


async def test_seats_go_back_only_after_the_provider_has_cancelled(house: House) -> None:
    order = await pending(house)
    commands, place = house.commands, house.place
    assert (await commands.release_order(place, order.id, ""))[0] == Code.ORDER_STATE
    assert decoded(await commands.cancel(place, order.id, "buyer", AGAIN_MS)).state == "cancelling"
    assert (await house.counter("category:Stalls")).held == 2
    for _ in range(2):
        after = decoded(await commands.release_order(place, order.id, "pi_1"))
        assert (after.state, after.cancel_reason) == ("cancelled", "buyer")
    assert (await house.counter("category:Stalls")).free == 18
    assert await house.records() == ["order.placed", "order.cancelling", "order.cancelled"]


async def test_money_that_comes_while_cancelling_confirms(house: House) -> None:
    order = await pending(house)
    await house.commands.cancel(house.place, order.id, "expired", AGAIN_MS)
    after = decoded(await house.commands.confirm(house.place, order.id, "pi_1", 7500))
    assert after.state == "confirmed"
    answer = await house.commands.release_order(house.place, order.id, "pi_1")
    assert answer[0] == Code.ORDER_STATE


async def test_a_late_capture_is_honoured_while_its_stock_is_free(house: House) -> None:
    order = await cancelled(house)
    after = decoded(await house.commands.confirm(house.place, order.id, "pi_1", 7500))
    assert (after.state, after.cancelled_at) == ("confirmed", 0)
    assert (await house.counter("category:Stalls")).sold == 2


@pytest.mark.parametrize("taken", ["seat", "tier", "quota"])
async def test_a_late_capture_whose_stock_is_gone_is_owed_back(house: House, taken: str) -> None:
    order = await cancelled(house)
    if taken == "seat":
        await house.hold([STALLS, 1, [0, 0], False])
    elif taken == "tier":
        await house.hold([STALLS, 2, [0, 7, 0, 8], False])
    else:
        await house.hold([STANDING, 6, False, False])
        await house.hold([STANDING, 4, False, False])
    for _ in range(2):
        after = decoded(await house.commands.confirm(house.place, order.id, "pi_1", 7500))
        assert after.state == "cancelled"
        assert after.payment is not None
        assert (after.payment.refund, after.payment.refund_reason) == (7500, "late_capture")
    assert (await house.records())[-1] == "order.refund_due"
    assert (await house.commands.money_due(house.place, 10, AGAIN_MS))[1] == [order.id.encode()]
    said = {"refunded": 7500, "refund_id": "re_1"}
    after = decoded(await house.commands.confirm(house.place, order.id, "pi_1", 7500, said))
    assert after.state == "refunded"
    assert (await house.records())[-1] == "order.refunded"


async def test_a_refund_gives_seats_and_money_back_once(house: House) -> None:
    order = await pending(house)
    commands, place = house.commands, house.place
    assert (await commands.return_order(place, order.id, "asked"))[0] == Code.ORDER_STATE
    await commands.confirm(place, order.id, "pi_1", 7500)
    for _ in range(2):
        after = decoded(await commands.return_order(place, order.id, "asked"))
        assert after.state == "refunded"
        assert after.payment is not None
        assert after.payment.refund == 7500
    assert (await house.counter("category:Stalls")).free == 18
    for _ in range(2):  # told twice, it is done once
        said = {"refunded": 7500, "refund_id": "re_1"}
        after = decoded(await commands.confirm(place, order.id, "pi_1", 7500, said))
        assert after.payment is not None
        assert (after.payment.refund_id, after.payment.refund_state) == ("re_1", "done")
    assert await house.records() == [
        "order.placed",
        "order.confirmed",
        "order.refund_due",
        "order.refunded",
    ]


@pytest.mark.parametrize(
    ("currency", "state"), [("EUR", "confirmed"), ("eur", "confirmed"), ("USD", "cancelled")]
)
async def test_a_currency_is_the_same_in_small_letters(
    house: House, currency: str, state: str
) -> None:
    order = await pending(house)
    said = {"currency": currency}
    after = decoded(await house.commands.confirm(house.place, order.id, "pi_1", 7500, said))
    assert after.state == state


async def test_an_answer_older_than_the_order_is_refused(house: House) -> None:
    order = await pending(house)
    confirm, place = house.commands.confirm, house.place
    answer = await confirm(place, order.id, "pi_1", 7500, version=order.version + 1)
    assert answer[0] == Code.ORDER_CHANGED
    assert (await house.read_order(order.id)).state == "pending"
    assert decoded(await confirm(place, order.id, "pi_1", 7500, version=1)).state == "confirmed"
    assert (await confirm(place, order.id, "pi_1", 7500, version=1))[0] == Code.ORDER_CHANGED


async def test_money_of_too_many_intents_is_refused(house: House) -> None:
    order = await pending(house)
    confirm, place = house.commands.confirm, house.place
    await confirm(place, order.id, "pi_1", 7500)
    for i in range(16):
        after = decoded(await confirm(place, order.id, f"pi_other_{i}", 5))
    assert after.payment is not None
    assert len(after.payment.others) == 16
    assert (await confirm(place, order.id, "pi_other_16", 5))[0] == Code.ORDER_STATE
    assert (await house.read_order(order.id)).version == after.version


async def test_an_order_of_a_disputed_payment_is_not_taken_back(house: House) -> None:
    order = await pending(house)
    commands, place = house.commands, house.place
    await commands.confirm(place, order.id, "pi_1", 7500)
    said = {"dispute": "open", "withdrawn": 7500}
    await commands.confirm(place, order.id, "pi_1", 7500, said)
    assert (await commands.return_order(place, order.id, "asked"))[0] == Code.DISPUTED
    assert (await house.counter("category:Stalls")).sold == 2


async def test_no_step_of_a_refund_is_taken_where_nothing_is_owed(house: House) -> None:
    order = await pending(house)
    for step in ("refused", "again", "elsewhere"):
        answer = await house.commands_answer("refund", house.place, order.id, "pi_1", step, "why")
        assert answer[0] == Code.ORDER_STATE


async def test_an_order_is_read_by_its_buyer_alone(house: House) -> None:
    order = await pending(house)
    commands, place = house.commands, house.place
    assert (await commands.read(place, "o", order.id, order.buyer))[0] == Code.OK
    assert await commands.read(place, "o", order.id, new_id()) == [Code.ORDER_UNKNOWN]
