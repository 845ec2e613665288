"""Whatever buyers, the leader and the operator do, in whatever order: the line stays right."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engine.core.ids import new_id
from engine.platform.valkey.batcher import Batcher
from engine.platform.valkey.codes import Code
from engine.platform.valkey.connections import connect
from engine.sale.commands import Commands
from engine.sale.documents import Hold
from engine.sale.inventory import inspection, publication
from engine.sale.inventory.snapshot import Room
from tests.houses import small_house
from tests.store.conftest import SHARD, House
from tests.store.line import Line

T = TypeVar("T")
BUYERS = 6
CAP = 2
SUSPECT = [[b"suspect!", 1, 1_000]]
buyers = st.integers(0, BUYERS - 1)


class Waiting(RuleBasedStateMachine):
    """Six buyers before a room for two."""

    url: ClassVar[str]

    @initialize()
    def publish(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.client = connect(self.url)
        self.batcher = Batcher(self.url)
        self.people = [new_id() for _ in range(BUYERS)]
        self.served = 0
        self.numbers: dict[tuple[str, int], int] = {}
        self.run(self._publish())

    async def _publish(self) -> None:
        await self.client.flushall()
        await self.batcher.start()
        room = Room(opens_at=4_000_000_000_000, pre_queue_ms=10**13, rate=10**6, cap=CAP)
        snapshot = small_house(room=room)
        await publication.publish(self.client, snapshot, shard=SHARD)
        self.line = Line(House(self.client, Commands(self.batcher, self.batcher), snapshot))

    def run(self, step: Awaitable[T]) -> T:
        async def awaited() -> T:
            return await step

        return self.loop.run_until_complete(awaited())

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.run(self.batcher.stop())
            self.run(self.client.aclose())
            self.loop.close()

    @rule(who=buyers, suspect=st.booleans(), again=st.booleans())
    def join(self, who: int, suspect: bool, again: bool) -> None:
        buyer = self.people[who]
        over = self.run(self._index(buyer)) if again else None
        answer = self.run(self.line.try_join(buyer, SUSPECT if suspect else [], over))
        assert answer[0] in {Code.OK, Code.QUEUE_CLOSED}

    @rule(who=buyers)
    def leave(self, who: int) -> None:
        if self.run(self._index(self.people[who])) is not None and self.run(self._known()):
            self.run(self.line.leave(self.people[who]))

    @rule()
    def open(self) -> None:
        if self.run(self.line.state()).queue.drawn < 0:
            self.run(self.line.open())
        else:
            self.run(self.line.command("open"))

    @rule(command=st.sampled_from(["drain", "close", "on"]))
    def command(self, command: str) -> None:
        if self.run(self.line.state()).queue.drawn >= 0:
            self.run(self.line.command(command))

    @rule(stopped=st.booleans())
    def pause(self, stopped: bool) -> None:
        step = "pause" if stopped else "resume"
        self.run(self.line.house.commands_answer(step, self.line.house.place, "ada"))

    @rule(allowed=st.integers(0, 3))
    def call(self, allowed: int) -> None:
        if self.run(self._known()):
            answer = self.run(self.line.try_call(allowed))
            assert answer[0] == Code.OK
            assert answer[1] <= allowed

    @rule(who=buyers)
    def enter(self, who: int) -> None:
        buyer = self.people[who]
        if self.run(self._index(buyer)) is None or not self.run(self._known()):
            return
        number = self.run(self.line.number(buyer))
        answer = self.run(self.line.try_enter(buyer))
        if answer[0] == Code.OK:
            assert number <= self.served

    @rule(who=buyers)
    def hold(self, who: int) -> None:
        buyer = self.people[who]
        inside = buyer in self.run(self._inside())
        paused = self.run(self.line.state()).paused
        answer = self.run(self.line.house.acquire([3, 1, False, False], buyer=buyer))
        if answer[0] == Code.OK:
            assert inside
            assert not paused

    @rule(who=buyers, order=st.booleans())
    def end_hold(self, who: int, order: bool) -> None:
        async def step() -> None:
            house = self.line.house
            async for hold in inspection.iter_holds(house.client, SHARD, house.snapshot.occurrence):
                if hold.buyer == self.people[who]:
                    await self._end(hold, order)

        self.run(step())

    async def _end(self, hold: Hold, order: bool) -> None:
        house = self.line.house
        if order:
            await house.try_order(hold)
        else:
            await house.commands.release(house.place, hold.buyer, hold.id)

    @rule(ms=st.sampled_from([1_000, 60_000, 121_000, 421_000, 601_000]))
    def wait(self, ms: int) -> None:
        self.run(self.line.house.advance(ms))

    @rule()
    def sweep(self) -> None:
        self.run(self.line.house.sweep())

    async def _index(self, buyer: str) -> int | None:
        answer = await self.line.house.commands.queue_look(self.line.house.place, buyer, 0)
        return answer[1] if answer[0] == Code.OK else None

    async def _known(self) -> bool:
        return (await self.line.state()).queue.drawn >= 0

    async def _inside(self) -> dict[str, int]:
        return await inspection.passes(
            self.line.house.client, SHARD, self.line.house.snapshot.occurrence
        )

    @invariant()
    def right(self) -> None:
        if not hasattr(self, "line"):
            return
        state = self.run(self.line.state())
        assert state.queue.served >= self.served
        self.served = state.queue.served
        assert state.queue.inside + state.called <= CAP
        assert state.queue.inside >= 0
        self.run(self.line.house.assert_conserved())

    @invariant()
    def keep_numbers(self) -> None:
        """A place keeps its number, and no two places of a moment have the same."""
        if not hasattr(self, "line") or not self.run(self._known()):
            return
        now: dict[str, int] = {}
        for buyer in self.people:
            index = self.run(self._index(buyer))
            if index is None:
                continue
            now[buyer] = self.run(self.line.number(buyer))
            assert self.numbers.setdefault((buyer, index), now[buyer]) == now[buyer]
        assert len(set(now.values())) == len(now)


@pytest.mark.timeout(300)
def test_the_line_stays_right_whatever_happens(valkey_url: str) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    Waiting.url = f"{valkey_url}/0"
    run_state_machine_as_test(
        Waiting,
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
