from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from devkit.stripe import StripeLookalike
from engine.audit import audit as audit_module
from engine.audit.audit import Audit, wait_for_backlog
from engine.audit.findings import Report
from engine.core.ids import new_id
from engine.payments.stripe import StripeProvider
from engine.platform.valkey import keys
from engine.platform.valkey.packing import pack, unpack
from engine.sale.documents import Order
from engine.sale.inventory import publication
from engine.sale.requests import LineRequest
from engine.write_behind.consumer import Consumer
from tests.breakages import UNREADABLE
from tests.houses import small_house
from tests.persist.conftest import SHARD, STREAM, Database, drain, enter, ordered, record, value_of
from tests.sale.conftest import Box

STANDING = LineRequest(ticket_type="standing", quantity=2)


@pytest.fixture
async def provider(stripe: StripeLookalike) -> AsyncIterator[StripeProvider]:
    made = StripeProvider(
        secret_key=stripe.secret_key,
        publishable_key=stripe.publishable_key,
        webhook_secret=stripe.webhook_secret,
        api_base=stripe.url,
        timeout_s=5.0,
    )
    yield made
    await made.close()


class Auditor:
    def __init__(self, audit: Audit, box: Box, client: Redis, database: Database) -> None:
        self.audit = audit
        self.box = box
        self.client = client
        self.database = database
        self.prefix = keys.prefix(SHARD, box.occurrence)

    async def report(self) -> Report:
        (report,) = await self.audit.run([self.box.occurrence])
        return report

    async def wrong(self) -> dict[str, int]:
        return {check.name: check.failed for check in (await self.report()).checks if check.failed}

    async def rewrite(self, order: str, **changes: Any) -> None:
        """Change an order in Redis behind everybody's back."""
        key = f"{self.prefix}:o:{order}"
        document = msgspec.msgpack.decode(await value_of(self.client, key), type=Order)
        changed = msgspec.structs.replace(document, **changes)
        await self.client.set(key, msgspec.msgpack.encode(changed))


@pytest.fixture
async def sold(
    box: Box,
    redis_client: Redis,
    database: Database,
    provider: StripeProvider,
    consumer: Consumer,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Auditor]:
    """A sale with an order in every state, all of it written; put right again after the test."""
    monkeypatch.setattr(audit_module, "_LOOK_AGAIN_S", 0.0)
    await enter(database.connection, box.snapshot)
    ada, bob, eve, kim, zoe = (new_id() for _ in range(5))
    paid = await box.pending(ada)
    await box.pay(paid)
    await box.until_state(ada, paid.order.id, "confirmed")
    await box.pending(bob, STANDING)
    cancelled = await box.pending(eve)
    await box.sale.orders.cancel(eve, box.occurrence, cancelled.order.id)
    back = await box.pending(kim, LineRequest(ticket_type="balcony", seats=["B-11-1"]))
    await box.pay(back)
    await box.until_state(kim, back.order.id, "confirmed")
    await box.sale.orders.give_back(box.occurrence, back.order.id, "by_hand")
    await box.hold(zoe, LineRequest(ticket_type="accessible", quantity=1))
    await drain(consumer, redis_client)
    kept = {key: await redis_client.dump(key) or b"" async for key in redis_client.scan_iter()}
    yield Auditor(Audit(redis_client, database.connection, provider), box, redis_client, database)
    await redis_client.flushall()
    for key, value in kept.items():
        await redis_client.restore(key, 0, value, replace=True)


async def paid_order(sold: Auditor) -> str:
    found = await sold.database.value("SELECT id FROM orders WHERE state = 'confirmed'")
    return str(found.hex)


async def test_a_sale_in_every_state_agrees(sold: Auditor) -> None:
    report = await sold.report()
    assert [(c.name, c.findings) for c in report.checks if c.failed] == []
    assert report.ok
    assert (report.orders, report.tickets, report.in_flight) == (4, 2, 0)
    assert report.captured > report.refunded > 0
    assert not [check for check in report.checks if check.skipped]


@pytest.mark.parametrize(
    "how", ["no keys", "conf is garbage", "snapshot is cut", "snapshot is a list", "no shard"]
)
async def test_an_occurrence_that_cannot_be_read_is_a_finding_and_the_others_are_looked_at(
    sold: Auditor, how: str
) -> None:
    broken = small_house()
    await publication.publish(sold.client, broken, shard=SHARD)
    place = keys.prefix(SHARD, broken.occurrence)
    await UNREADABLE[how](sold.client, place, broken.occurrence)
    first, second = await sold.audit.run([broken.occurrence, sold.box.occurrence])
    assert [check.name for check in first.checks if check.failed] == ["readable"]
    assert broken.occurrence in first.checks[0].findings[0].detail
    assert second.ok


SEAT, STOCK, HOLDS = "seats", "stock", "holds and orders"


async def test_a_seat_whose_byte_is_wrong_is_found(sold: Auditor) -> None:
    await sold.client.setrange(f"{sold.prefix}:seats:1", 19, "s")
    assert await sold.wrong() == {STOCK: 1, SEAT: 1}


async def test_stock_that_leaked_is_found(sold: Auditor) -> None:
    stock = unpack(await value_of(sold.client, f"{sold.prefix}:stock"))
    stock[1] -= 1  # the first counter's free
    await sold.client.set(f"{sold.prefix}:stock", pack(stock))
    assert await sold.wrong() == {STOCK: 2}  # and its seats do not agree with it
    stock[2] += 1  # as if it were held: conserved, but nobody has it
    await sold.client.set(f"{sold.prefix}:stock", pack(stock))
    assert await sold.wrong() == {STOCK: 1, HOLDS: 1}


async def test_a_seat_that_two_have_is_found(sold: Auditor) -> None:
    first = msgspec.msgpack.decode(
        await value_of(sold.client, f"{sold.prefix}:o:{await paid_order(sold)}"), type=Order
    )
    twin = msgspec.structs.replace(first, id=new_id(), sequence=99)
    await sold.client.set(f"{sold.prefix}:o:{twin.id}", msgspec.msgpack.encode(twin))
    wrong = await sold.wrong()
    assert wrong[SEAT] == 2
    assert wrong["orders"] == 1


async def test_an_order_that_postgresql_lacks_is_found(sold: Auditor) -> None:
    for table in ("ledger_entries", "order_events", "payments", "tickets", "order_lines"):
        await sold.database.connection.execute(f"DELETE FROM {table}")  # noqa: S608 - own names
    await sold.database.connection.execute("DELETE FROM orders")
    wrong = await sold.wrong()
    assert wrong["orders"] == 4
    assert wrong["captured money"] == 1
    assert wrong["tickets"] == 3


async def test_an_order_that_redis_lacks_is_found(sold: Auditor) -> None:
    await sold.client.delete(f"{sold.prefix}:o:{await paid_order(sold)}")
    wrong = await sold.wrong()
    assert wrong["orders"] == 1
    assert wrong["tickets"] == 2
    assert wrong[SEAT] == 2


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"email": "eve@example.org"}, {"orders": 1}),
        ({"name": "Eve"}, {"orders": 1, "tickets": 2}),
        ({"version": 9}, {"orders": 1}),
        ({"attendees": ["Grace"]}, {"tickets": 1}),
        ({"buyer": "0" * 32}, {"orders": 1}),
    ],
)
async def test_an_order_that_differs_is_found(
    sold: Auditor, changes: dict[str, Any], wrong: dict[str, int]
) -> None:
    order = await paid_order(sold)
    await sold.rewrite(order, **changes)
    assert await sold.wrong() == wrong
    details = [f.detail for check in (await sold.report()).checks for f in check.findings]
    assert all(f"{next(iter(changes))}" in detail or "attendee" in detail for detail in details)


@pytest.mark.parametrize(
    ("statement", "check"),
    [
        ("UPDATE tickets SET status = 'void' WHERE status = 'valid'", "tickets"),
        ("UPDATE order_lines SET quantity = quantity + 1", "order lines"),
        ("UPDATE payments SET captured = 1 WHERE captured > 0", "payments"),
        ("UPDATE payments SET captured = 1 WHERE captured > 0", "recorded money"),
        ("UPDATE ledger_entries SET amount = amount + 1", "ledger sums"),
        ("DELETE FROM ledger_entries WHERE posting = 'sale'", "ledger entries"),
        ("DELETE FROM order_events WHERE version = 1", "history"),
        ("UPDATE orders SET number = 'ONS-1'", "numbers"),
        ("UPDATE tickets SET number = 'TKT-1'", "numbers"),
        ("DELETE FROM order_events", "history"),
        # no foreign key holds rows to their order: the audit does
        ("UPDATE order_events SET order_id = uuidv7()", "history"),
        ("UPDATE order_lines SET order_id = uuidv7()", "order lines"),
        ("UPDATE tickets SET order_id = uuidv7()", "tickets"),
        ("UPDATE payments SET order_id = uuidv7()", "payments"),
        ("UPDATE ledger_entries SET order_id = uuidv7()", "ledger entries"),
        ("UPDATE payments SET intent = 'pi_other' WHERE captured > 0", "captured money"),
        ("UPDATE payments SET refunded = 0 WHERE refunded > 0", "recorded money"),
    ],
)
async def test_a_row_that_was_tampered_with_is_found(
    sold: Auditor, statement: str, check: str
) -> None:
    await sold.database.connection.execute(statement)
    assert (await sold.wrong()).get(check, 0) > 0


async def test_money_that_the_provider_took_for_nothing_is_found(
    sold: Auditor, provider: StripeProvider
) -> None:
    intent = await provider.create_intent(
        order=new_id(),
        occurrence=sold.box.occurrence,
        amount=500,
        currency="EUR",
        email="ada@example.org",
        description="",
    )
    assert await sold.wrong() == {}  # nothing was taken yet
    checkout = await sold.box.pending(new_id(), STANDING)
    assert checkout.payment is not None
    payment = msgspec.structs.replace(
        checkout.payment, intent=intent.id, client_secret=intent.client_secret
    )
    sold.box.stripe.deliver_to(None)
    await sold.box.pay(msgspec.structs.replace(checkout, payment=payment))
    (check,) = [c for c in (await sold.report()).checks if c.name == "captured money"]
    assert [finding.subject for finding in check.findings] == [intent.id]


async def test_money_given_back_behind_our_back_is_found_and_then_known(
    sold: Auditor, provider: StripeProvider, consumer: Consumer
) -> None:
    order = await paid_order(sold)
    payment = await sold.database.connection.fetchrow(
        "SELECT intent, captured FROM payments WHERE order_id = $1", order
    )
    sold.box.stripe.deliver_to(None)
    await provider.refund(
        intent=payment["intent"], order=order, amount=payment["captured"], reason="elsewhere"
    )
    assert await sold.wrong() == {"captured money": 1, "recorded money": 1}
    await sold.box.sale.money.catch_up()
    await drain(consumer, sold.client)
    assert await sold.wrong() == {}


async def test_a_dispute_that_nobody_told_of_is_found_and_then_known(
    sold: Auditor, consumer: Consumer
) -> None:
    order = await paid_order(sold)
    intent = await sold.database.value("SELECT intent FROM payments WHERE order_id = $1", order)
    sold.box.stripe.deliver_to(None)
    sold.box.stripe.money.dispute(intent)
    assert await sold.wrong() == {"captured money": 1}
    await sold.box.sale.money.catch_up()
    await drain(consumer, sold.client)
    report = await sold.report()
    assert report.ok
    assert report.withdrawn > 0


async def test_a_refund_that_needs_a_person_is_found_until_one_has_seen_to_it(
    sold: Auditor, consumer: Consumer
) -> None:
    order = await paid_order(sold)
    sold.box.stripe.money.next_refunds("failed", 100)
    await sold.box.sale.orders.give_back(sold.box.occurrence, order, "asked")
    for _ in range(6):
        await sold.box.money_round()
    await drain(consumer, sold.client)
    assert await sold.wrong() == {"refunds owed": 1}
    await sold.box.sale.orders.refund_by_hand(
        sold.box.occurrence, order, "elsewhere", "bank transfer 4711"
    )
    await drain(consumer, sold.client)
    assert await sold.wrong() == {}


async def test_money_of_an_intent_that_no_order_waited_for_is_written_and_agrees(
    sold: Auditor, consumer: Consumer
) -> None:
    order = await paid_order(sold)
    stray = await sold.box.stray_intent(order, 700)
    sold.box.stripe.money.next_refunds("pending", 1)
    sold.box.stripe.money.capture(stray)
    await sold.box.until_settled()
    await drain(consumer, sold.client)
    report = await sold.report()
    assert [(c.name, c.findings) for c in report.checks if c.failed] == []
    assert await sold.database.rows(
        "payments WHERE others_captured > 0", "others_captured, others_due"
    ) == [(700, 0)]


async def test_what_is_still_on_its_way_is_no_difference(sold: Auditor) -> None:
    await sold.box.pending(new_id(), STANDING)
    report = await sold.report()
    assert report.ok
    assert (report.in_flight, report.orders) == (1, 4)


async def test_deadlines_long_past_are_found(sold: Auditor) -> None:
    await sold.box.advance(3_600_000)
    assert await sold.wrong() == {"deadlines": 2}  # the hold and the pending order


async def test_a_parked_record_of_the_shard_is_found(sold: Auditor, consumer: Consumer) -> None:
    await record(sold.client, "order.placed", ordered(sold.box.snapshot, 99, total=1))
    await drain(consumer, sold.client)
    assert await sold.wrong() == {"dead letters": 1}


async def test_an_occurrence_that_redis_lost_is_found(sold: Auditor) -> None:
    await sold.client.delete(keys.OCCURRENCES)
    assert await sold.audit.unpublished() == [sold.box.occurrence]
    assert await sold.wrong() == {"published": 1}


async def test_a_difference_that_is_gone_at_the_second_look_does_not_count(
    sold: Auditor, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = await paid_order(sold)
    await sold.rewrite(order, email="eve@example.org")
    looks = 0
    look = sold.audit._look_at_money

    async def mended(occurrences: list[str]) -> None:
        nonlocal looks
        looks += 1
        if looks == 2:
            await sold.rewrite(order, email="ada@example.org")
        await look(occurrences)

    monkeypatch.setattr(sold.audit, "_look_at_money", mended)
    assert (await sold.report()).ok
    assert looks == 2


async def test_waiting_for_the_backlog_ends(sold: Auditor, consumer: Consumer) -> None:
    await sold.box.pending(new_id(), STANDING)
    told: list[int] = []
    assert await wait_for_backlog(sold.client, seconds=0.0, progress=told.append) == 1
    await drain(consumer, sold.client)
    assert await wait_for_backlog(sold.client, seconds=60.0, progress=told.append) == 0
    assert told == [1, 0]
    assert await sold.client.xlen(STREAM) == 0
