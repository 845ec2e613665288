"""A small house on sale, and the scripts that sell it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from engine.core.ids import new_id
from engine.platform.valkey import keys
from engine.platform.valkey.batcher import Batcher
from engine.platform.valkey.codes import Code
from engine.sale.commands import Commands
from engine.sale.documents import Hold, Order
from engine.sale.inventory import inspection, publication
from engine.sale.inventory.snapshot import Snapshot
from tests.clocks import put_clock_ahead
from tests.conservation import assert_conserved
from tests.houses import small_house

SHARD = 7
BODY = b"b" * 16


def key() -> bytes:
    return bytes.fromhex(new_id())


class House:
    """A published occurrence. Every answer is checked for conservation by the fixture's end."""

    def __init__(self, client: Redis, commands: Commands, snapshot: Snapshot) -> None:
        self.client = client
        self.commands = commands
        self.snapshot = snapshot
        self.place = keys.prefix(SHARD, snapshot.occurrence)
        self._ahead_ms = 0

    async def acquire(self, *lines: list[Any], buyer: str | None = None) -> list[Any]:
        return await self.commands.acquire(
            self.place, buyer or new_id(), new_id(), key(), BODY, lines
        )

    async def hold(self, *lines: list[Any], buyer: str | None = None) -> Hold:
        answer = await self.acquire(*lines, buyer=buyer)
        assert answer[0] == Code.OK, answer
        return msgspec.msgpack.decode(answer[1], type=Hold)

    async def order(self, hold: Hold, **changes: Any) -> Order:
        answer = await self.try_order(hold, **changes)
        assert answer[0] == Code.OK, answer
        return msgspec.msgpack.decode(answer[1], type=Order)

    async def try_order(self, hold: Hold, **changes: Any) -> list[Any]:
        subtotal = sum(line.price * line.quantity for line in hold.lines)
        details: dict[str, Any] = {
            "currency": "EUR",
            "subtotal": subtotal,
            "discount": 0,
            "platform_fee": 0,
            "payment_fee": 0,
            "tax": 0,
            "total": subtotal,
            "email": "ada@example.org",
            "name": "Ada",
            "attendees": [],
            "provider": "stripe",
        }
        details.update(changes)
        return await self.commands.place_order(
            self.place, hold.buyer, hold.id, hold.version, new_id(), key(), BODY, details
        )

    async def read_order(self, order: str) -> Order:
        answer = await self.commands.read(self.place, "o", order)
        assert answer[0] == Code.OK
        return msgspec.msgpack.decode(answer[1], type=Order)

    async def advance(self, ms: int) -> None:
        """Move the sale clock on: it is the wall clock less all pauses, so pause it backwards."""
        self._ahead_ms += ms
        await put_clock_ahead(self.client, self.place, self._ahead_ms)

    async def commands_answer(self, command: str, *arguments: Any) -> list[Any]:
        """Run a command by its name."""
        answer: list[Any] = await getattr(self.commands, command)(*arguments)
        return answer

    async def sweep(self) -> tuple[int, list[str]]:
        answer = await self.commands.sweep(self.place, 200, 30_000)
        assert answer[0] == Code.OK
        return answer[1], [order.decode() for order in answer[2]]

    async def counter(self, name: str) -> inspection.Counter:
        counters = await inspection.read_counters(self.client, SHARD, self.snapshot.occurrence)
        return next(counter for counter in counters if counter.key == name)

    async def records(self) -> list[str]:
        entries: Any = await self.client.xrange(keys.stream(SHARD))
        return [fields[b"k"].decode() for _, fields in entries]

    async def assert_conserved(self) -> None:
        await assert_conserved(self.client, self.snapshot.occurrence)


@pytest.fixture
async def commands(valkey_url: str, redis_client: Redis) -> AsyncIterator[Commands]:
    batcher = Batcher(f"{valkey_url}/0")
    await batcher.start()
    yield Commands(batcher, batcher)
    await batcher.stop()


@pytest.fixture
async def house(redis_client: Redis, commands: Commands) -> AsyncIterator[House]:
    snapshot = small_house()
    await publication.publish(redis_client, snapshot, shard=SHARD)
    found = House(redis_client, commands, snapshot)
    yield found
    await found.assert_conserved()
