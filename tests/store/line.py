"""A line in front of the small house, driven as the edge and the leader drive it."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from engine.core.ids import new_id
from engine.platform.valkey import keys
from engine.platform.valkey.codes import Code
from engine.queue import store as waiting
from engine.queue.documents import QueueRecord
from engine.queue.draw import numbers as draw
from tests.store.conftest import SHARD, House

_record = msgspec.msgpack.Decoder(QueueRecord)


class Line:
    """The waiting room of a house. ``fence``: the leader's, as which it calls."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.fence = 1

    @property
    def occurrence(self) -> str:
        return self.house.snapshot.occurrence

    async def try_join(
        self, buyer: str, budgets: list[Any] | None = None, over: int | None = None
    ) -> list[Any]:
        leaf = draw.leaf(self.occurrence, buyer)
        return await self.house.commands.queue_join(
            self.house.place, buyer, leaf, budgets or [], over
        )

    async def join(self, buyer: str | None = None, budgets: list[Any] | None = None) -> str:
        """Join, and return the buyer."""
        buyer = buyer or new_id()
        answer = await self.try_join(buyer, budgets)
        assert answer[0] == Code.OK, answer
        return buyer

    async def index(self, buyer: str) -> int:
        answer = await self.house.commands.queue_look(self.house.place, buyer, 0)
        assert answer[0] == Code.OK, answer
        index: int = answer[1]
        return index

    async def number(self, buyer: str) -> int:
        index = await self.index(buyer)
        state = await self.state()
        slot = index if index >= 0 else state.queue.drawn - index - 1
        return draw.number(await self.key(), state.queue.drawn, slot)

    async def key(self) -> bytes:
        found = await waiting.read_draw(self.house.client, SHARD, self.occurrence)
        assert found.digest
        return draw.draw_key(bytes.fromhex(found.seed), bytes.fromhex(found.digest))

    async def state(self) -> waiting.QueueState:
        return await waiting.read_queue(self.house.client, SHARD, self.occurrence)

    async def roster(self, n: int) -> bytes:
        return await waiting.read_roster(self.house.client, SHARD, self.occurrence, 0, n)

    async def command(self, command: str, **values: int) -> list[Any]:
        return await self.house.commands.queue_command(self.house.place, "ada", command, values)

    async def open(self) -> None:
        """Open the line now, and draw."""
        assert (await self.command("open"))[0] == Code.OK
        n = (await self.state()).queue.drawn
        digest = hashlib.sha256(await self.roster(n) if n else b"").hexdigest()
        answer = await self.house.commands.queue_draw(self.house.place, digest, n)
        assert answer[0] == Code.OK
        await self.house.advance(1)  # so that the rate has given something

    async def try_call(self, allowed: int = 200, rate_milli: int = 10**9) -> list[Any]:
        state = await self.state()
        key, n, start = await self.key(), state.queue.drawn, state.queue.served
        indices = [
            draw.invert(key, n, place) if place < n else place
            for place in range(start, start + 400)
        ]
        return await self.house.commands.queue_call(
            self.house.place, self.fence, start, indices, allowed, rate_milli
        )

    async def call(self, allowed: int = 200) -> int:
        """Call as many as there may be; returns how many were."""
        answer = await self.try_call(allowed)
        assert answer[0] == Code.OK, answer
        called: int = answer[1]
        return called

    async def try_enter(self, buyer: str) -> list[Any]:
        index, number = await self.index(buyer), await self.number(buyer)
        return await self.house.commands.queue_enter(self.house.place, buyer, index, number)

    async def enter(self, buyer: str) -> None:
        answer = await self.try_enter(buyer)
        assert answer[0] == Code.OK, answer

    async def leave(self, buyer: str) -> None:
        state = await self.state()
        number = await self.number(buyer) if state.queue.drawn >= 0 else 0
        answer = await self.house.commands.queue_leave(
            self.house.place, buyer, await self.index(buyer), number
        )
        assert answer == [Code.OK]

    async def records(self) -> list[tuple[str, QueueRecord]]:
        entries: Any = await self.house.client.xrange(keys.stream(SHARD))
        return [
            (fields[b"k"].decode(), _record.decode(fields[b"q"]))
            for _, fields in entries
            if b"q" in fields
        ]
