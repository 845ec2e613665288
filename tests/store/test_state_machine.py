"""Whatever buyers, providers and time do, in whatever order: stock is conserved after every step.

Time is the sale clock, moved on by hand. Ids are reused on purpose, so that steps
meet holds and orders that have ended, belong to others, or never were.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule
from redis.asyncio import Redis

from engine.core.ids import new_id
from engine.platform.valkey.batcher import Batcher
from engine.platform.valkey.codes import Code
from engine.platform.valkey.packing import packed_limits
from engine.sale.commands import Commands
from engine.sale.documents import Hold, Order
from engine.sale.inventory import publication
from tests.houses import small_house
from tests.store.conftest import BODY, SHARD, House, key

SEATED = st.tuples(st.integers(0, 2), st.integers(1, 3), st.just(False), st.booleans())
GENERAL = st.tuples(st.integers(3, 4), st.integers(1, 6), st.just(False), st.just(False))
CHOSEN = st.tuples(
    st.integers(0, 1),
    st.lists(st.integers(0, 19), min_size=1, max_size=3),
).map(lambda pair: (pair[0], len(pair[1]), [n for p in pair[1] for n in (pair[0], p)], False))
LINES = st.lists(st.one_of(SEATED, GENERAL, CHOSEN), min_size=1, max_size=3)
LIMITS = packed_limits(10_000, 300_000, 1)  # pauses that a step of time ends
BUYERS = [new_id() for _ in range(6)]


class Sale(RuleBasedStateMachine):
    """The url of an empty Valkey is set by the test that runs this."""

    url = ""
    holds = Bundle("holds")
    orders = Bundle("orders")

    def run(self, step: Any) -> Any:
        return self.loop.run_until_complete(step)

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.client = Redis.from_url(self.url)
        self.batcher = Batcher(self.url)
        self.states: dict[str, str] = {}

    @initialize()
    def publish(self) -> None:
        async def begin() -> None:
            await self.client.flushall()
            snapshot = small_house()
            await publication.publish(self.client, snapshot, shard=SHARD)
            await self.batcher.start()
            self.house = House(self.client, Commands(self.batcher, self.batcher), snapshot)

        self.run(begin())

    def teardown(self) -> None:
        async def end() -> None:
            await self.batcher.stop()
            await self.client.aclose()

        self.run(end())
        self.loop.close()

    @rule(target=holds, buyer=st.sampled_from(BUYERS), lines=LINES)
    def acquire(self, buyer: str, lines: list[Any]) -> Any:
        budget = LIMITS + bytes.fromhex(buyer)[-8:-1] + b"0"
        answer = self.run(
            self.house.commands_answer(
                "acquire", self.house.place, buyer, new_id(), key(), BODY, lines, budget
            )
        )
        assert answer[0] in {
            Code.OK,
            Code.LINES,
            Code.HOLD_EXISTS,
            Code.PAUSED,
            Code.HOLD_PAUSE,
        }
        if answer[0] != Code.OK:
            return multiple()
        hold = msgspec.msgpack.decode(answer[1], type=Hold)
        assert sum(line.quantity for line in hold.lines) == sum(line[1] for line in lines)
        return hold

    @rule(target=holds, hold=holds, add=LINES, remove=st.integers(0, 3))
    def change(self, hold: Hold, add: list[Any], remove: int) -> Any:
        gone = [[line.type, line.quantity, line.seats or False] for line in hold.lines[:remove]]
        answer = self.run(
            self.house.commands_answer(
                "change", self.house.place, hold.buyer, hold.id, key(), BODY, add, gone
            )
        )
        if answer[0] != Code.OK:
            return multiple()
        return msgspec.msgpack.decode(answer[1], type=Hold)

    @rule(hold=holds)
    def release(self, hold: Hold) -> None:
        answer = self.run(
            self.house.commands_answer("release", self.house.place, hold.buyer, hold.id)
        )
        assert answer[0] in {Code.OK, Code.HOLD_ENDED, Code.HOLD_UNKNOWN}

    @rule(target=orders, hold=holds)
    def order(self, hold: Hold) -> Any:
        answer = self.run(self.house.try_order(hold))
        if answer[0] != Code.OK:
            return multiple()
        order = msgspec.msgpack.decode(answer[1], type=Order)
        self.states.setdefault(order.id, order.state)
        return order

    @rule(
        order=orders,
        right=st.booleans(),
        own=st.sampled_from([True, True, True, False]),
        back=st.sampled_from([0, 0, 0, 1, 10**9]),
        how=st.sampled_from(["refunded", "refunding", "withdrawn"]),
        currency=st.sampled_from(["", "EUR", "EUR", "USD"]),
        failed=st.integers(0, 6),
    )
    def confirm(
        self,
        order: Order,
        right: bool,
        own: bool,
        back: int,
        how: str,
        currency: str,
        failed: int,
    ) -> None:
        """What the provider says of an intent, whether or not it may follow what it said before."""
        amount = order.total if right else order.total + 1
        said: dict[str, Any] = {how: min(back, amount), "currency": currency, "failed": failed}
        if how == "withdrawn" and back:
            said["dispute"] = "lost" if failed % 2 else "open"
        intent = f"pi_{order.id}" if own else "pi_other"
        self.step(order, "confirm", intent, amount, said)

    @rule(
        order=orders,
        step=st.sampled_from(["refused", "again", "elsewhere"]),
        own=st.booleans(),
    )
    def refund(self, order: Order, step: str, own: bool) -> None:
        self.step(order, "refund", f"pi_{order.id}" if own else "pi_other", step, "why")

    @rule(order=orders)
    def cancel(self, order: Order) -> None:
        self.step(order, "cancel", "buyer", 30_000)

    @rule(order=orders)
    def release_order(self, order: Order) -> None:
        self.step(order, "release_order", f"pi_{order.id}")

    @rule(order=orders)
    def give_back(self, order: Order) -> None:
        self.step(order, "return_order", "asked")

    @rule(seats=st.lists(st.integers(0, 19), min_size=1, max_size=4), back=st.booleans())
    def block(self, seats: list[int], back: bool) -> None:
        pairs = [n for position in seats for n in (0, position)]
        self.run(
            self.house.commands_answer("unblock" if back else "block", self.house.place, pairs)
        )

    @rule(stopped=st.booleans())
    def pause(self, stopped: bool) -> None:
        step = "pause" if stopped else "resume"
        self.run(self.house.commands_answer(step, self.house.place, "ada"))

    @rule(ms=st.sampled_from([1_000, 120_000, 421_000, 601_000, 901_000]))
    def wait(self, ms: int) -> None:
        self.run(self.house.advance(ms))

    @rule()
    def sweep(self) -> None:
        self.run(self.house.sweep())

    def step(self, order: Order, command: str, *arguments: Any) -> None:
        """Take a step with an order; what is allowed is the state machine of lua/README.md."""
        before = self.states[order.id]
        answer = self.run(
            self.house.commands_answer(command, self.house.place, order.id, *arguments)
        )
        if len(answer) < 2:
            assert answer[0] == Code.INVALID  # an amount or intent that no free order can have
            return
        after = msgspec.msgpack.decode(answer[1], type=Order).state
        assert (before, after) in ALLOWED, (before, command, after)
        if answer[0] != Code.OK:
            assert before == after
        self.states[order.id] = after

    @invariant()
    def conserved(self) -> None:
        if hasattr(self, "house"):
            self.run(self.house.assert_conserved())


STATES = ("pending", "cancelling", "confirmed", "cancelled", "refunded")
ALLOWED = {(state, state) for state in STATES} | {
    ("pending", "cancelling"),
    ("pending", "confirmed"),
    ("pending", "cancelled"),  # other money than was waited for
    ("pending", "refunded"),  # the money had gone back already
    ("cancelling", "confirmed"),
    ("cancelling", "refunded"),
    ("cancelling", "cancelled"),
    ("cancelled", "confirmed"),  # a late capture that could be honoured
    ("cancelled", "refunded"),  # one that could not
    ("confirmed", "refunded"),
}


@pytest.mark.timeout(300)
def test_the_sale_conserves_stock_whatever_happens(valkey_url: str) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    Sale.url = f"{valkey_url}/0"
    run_state_machine_as_test(
        Sale,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
