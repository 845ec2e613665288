"""An edge in front of a line, and the leader's part of moving it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson
from redis.asyncio import Redis

from engine.core.settings import Settings
from engine.platform.valkey import keys
from engine.platform.valkey.codes import Code
from engine.queue import store as waiting
from engine.queue.draw import numbers as draw
from engine.sale.inventory.publication import publish
from engine.sale.inventory.snapshot import Room
from engine.sale.service import Sale
from engine.sale.state import SALE
from tests.http.running import HOUR_MS, SHARD, Answer, Edge, eventually, make_snapshot, running_edge

LINES = [{"ticket_type": "standing", "quantity": 1}]


class LineEdge:
    """An edge that sells one occurrence with a waiting room in front of it."""

    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        self.url = f"{edge.occurrence}/queue"

    @property
    def sale(self) -> Sale:
        return self.edge.app[SALE]

    @property
    def place(self) -> str:
        return keys.prefix(SHARD, self.edge.snapshot.occurrence)

    async def join(self, buyer: dict[str, str] | None = None) -> tuple[dict[str, str], Any]:
        """Join as a new guest, or as this one; returns the headers and the view."""
        buyer = buyer or await self.edge.guest()
        answer = await self.edge.call("POST", self.url, headers=buyer)
        assert answer.status == 200, answer
        return buyer, answer.json

    async def look(self, buyer: dict[str, str]) -> Any:
        answer = await self.edge.call("GET", self.url, headers=buyer)
        assert answer.status == 200, answer
        return answer.json

    async def enter(self, buyer: dict[str, str]) -> Answer:
        return await self.edge.call("POST", f"{self.url}/enter", headers=buyer)

    async def ticket(self, buyer: dict[str, str]) -> str:
        answer = await self.edge.call("POST", f"{self.url}/ticket", headers=buyer)
        assert answer.status == 200, answer
        ticket: str = answer.json["ticket"]
        return ticket

    async def connect(
        self, buyer: dict[str, str], **options: Any
    ) -> aiohttp.ClientWebSocketResponse:
        url = f"{self.edge.url}{self.url}/live?ticket={await self.ticket(buyer)}"
        connection: aiohttp.ClientWebSocketResponse = await self.edge.session.ws_connect(
            url, **options
        )
        return connection

    async def state(self) -> waiting.QueueState:
        return await waiting.read_queue(self.edge.redis, SHARD, self.edge.snapshot.occurrence)

    async def command(self, command: str, **values: int) -> None:
        await self.sale.waiting.command(self.edge.snapshot.occurrence, "ada", command, values)

    async def open(self) -> None:
        """Open the line now, and draw."""
        await self.command("open")
        n = (await self.state()).queue.drawn
        occurrence = self.edge.snapshot.occurrence
        roster = await waiting.read_roster(self.edge.redis, SHARD, occurrence, 0, n) if n else b""
        answer = await self.sale.commands.queue_draw(
            self.place, hashlib.sha256(roster).hexdigest(), n
        )
        assert answer[0] == Code.OK, answer

    async def call(self, count: int) -> None:
        """Call the next numbers, as soon as the rate lets them be called."""
        found = await waiting.read_draw(self.edge.redis, SHARD, self.edge.snapshot.occurrence)
        key = draw.draw_key(bytes.fromhex(found.seed), bytes.fromhex(found.digest))
        target = (await self.state()).queue.served + count

        async def called() -> bool:
            start = (await self.state()).queue.served
            indices = [
                draw.invert(key, found.n, number) if number < found.n else number
                for number in range(start, target)
            ]
            if indices:
                answer = await self.sale.commands.queue_call(
                    self.place, 1, start, indices, len(indices), 10**9
                )
                assert answer[0] == Code.OK, answer
            return start == target

        await eventually(called)


@asynccontextmanager
async def running_line(
    settings: Settings,
    redis: Redis,
    *,
    opens_in_ms: int = HOUR_MS // 4,
    port: int = 0,
    currency: str = "eur",
    **room: Any,
) -> AsyncIterator[LineEdge]:
    """Run an edge whose line is in the pre-queue; fast, and without proof of work."""
    opens_at = time.time_ns() // 1_000_000 + opens_in_ms
    values = {"rate": 1_000_000, "rate_ms": 1_000, **room}
    snapshot = make_snapshot(currency=currency, room=Room(opens_at=opens_at, **values))
    await publish(redis, snapshot, shard=SHARD)
    async with running_edge(settings, redis, snapshot, port=port) as edge:
        yield LineEdge(edge)


async def receive(connection: aiohttp.ClientWebSocketResponse, kind: str) -> dict[str, Any]:
    """Return the next message of a kind."""
    while True:
        message = await connection.receive(timeout=10)
        assert message.type is aiohttp.WSMsgType.TEXT, message
        found: dict[str, Any] = orjson.loads(message.data)
        if found["kind"] == kind:
            return found
