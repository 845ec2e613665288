"""Runs a real edge on a free port, and makes what it sells."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson
from aiohttp import web
from redis.asyncio import Redis

from devkit.valkey import Valkey
from engine.app.api import make_app
from engine.app.serving import make_runner
from engine.core.ids import new_id
from engine.core.money import Fees
from engine.core.settings import Settings
from engine.platform.http.state import METRICS
from engine.sale.inventory.snapshot import (
    Category,
    Quota,
    Row,
    Seat,
    Section,
    Snapshot,
    TicketType,
    Tier,
)
from engine.sale.state import SALE

HOUR_MS = 3_600_000
SHARD = 3


def make_snapshot(**changes: Any) -> Snapshot:
    """A hall of two sections with 3 rows of 8 seats each, and 20 standing places."""
    now = time.time_ns() // 1_000_000
    sections = tuple(
        Section(
            name=name,
            rows=tuple(
                Row(
                    name=str(row + 1),
                    seats=tuple(
                        Seat(
                            guid=f"{name}-{row + 1}-{seat + 1}",
                            number=str(seat + 1),
                            x=float(seat + 10 * place),
                            y=float(row),
                            category=place,
                        )
                        for seat in range(8)
                    ),
                )
                for row in range(3)
            ),
        )
        for place, name in enumerate(("Stalls", "Circle"))
    )
    values: dict[str, Any] = {
        "occurrence": new_id(),
        "organization": new_id(),
        "event": new_id(),
        "event_name": "A Concert",
        "event_slug": "a-concert",
        "venue_name": "The Hall",
        "starts_at": now + 48 * HOUR_MS,
        "ends_at": now + 50 * HOUR_MS,
        "timezone": "Europe/Berlin",
        "sale_starts_at": now - HOUR_MS,
        "sale_ends_at": now + HOUR_MS,
        "currency": "eur",
        "tax_rate_bp": 1900,
        "fees": Fees(platform_per_ticket=50),
        "categories": (Category(name="Stalls"), Category(name="Circle", color="#336699")),
        "quotas": (Quota(code="floor", name="Floor", capacity=20),),
        "ticket_types": (
            TicketType(
                code="stalls",
                name="Stalls",
                kind="seat",
                category=0,
                tiers=(Tier(code="only", name="Standard", price=5000),),
            ),
            TicketType(
                code="circle",
                name="Circle",
                kind="seat",
                category=1,
                tiers=(Tier(code="only", name="Standard", price=3000),),
            ),
            TicketType(
                code="standing",
                name="Standing",
                kind="general",
                quotas=(0,),
                tiers=(
                    Tier(code="early", name="Early", price=1500, capacity=5),
                    Tier(code="late", name="Late", price=2000),
                ),
            ),
        ),
        "sections": sections,
    }
    return Snapshot(**{**values, **changes})


@dataclass(repr=False)
class Answer:
    """A response that has been read."""

    status: int
    headers: Any
    raw: bytes

    def __repr__(self) -> str:
        return f"<{self.status} {self.raw[:300]!r}>"

    @property
    def json(self) -> Any:
        return orjson.loads(self.raw)

    @property
    def code(self) -> str:
        """The code of a problem document, which it must be."""
        assert self.headers["Content-Type"].startswith("application/problem+json"), self
        assert self.json["status"] == self.status
        return str(self.json["code"])


def key() -> dict[str, str]:
    return {"Idempotency-Key": uuid.uuid4().hex}


@dataclass
class Edge:
    """A running edge and a client of it."""

    app: web.Application
    runner: web.AppRunner
    url: str
    port: int
    session: aiohttp.ClientSession
    redis: Redis
    snapshot: Snapshot
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def occurrence(self) -> str:
        return f"/v1/occurrences/{self.snapshot.occurrence}"

    @property
    def metrics(self) -> str:
        """What scrapers read, on a listener that this edge has not."""
        return self.app[METRICS].exposition().decode()

    async def call(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        sent = dict(headers or {})
        if json is not None:
            body = orjson.dumps(json)
            sent.setdefault("Content-Type", "application/json")
        async with self.session.request(
            method, self.url + path, data=body, headers=sent, skip_auto_headers=["Content-Type"]
        ) as response:
            return Answer(response.status, response.headers, await response.read())

    async def guest(self) -> dict[str, str]:
        """The Authorization header of a new guest."""
        answer = await self.call("POST", "/v1/guests", headers=key())
        assert answer.status == 201, answer
        return {"Authorization": f"Bearer {answer.json['token']}"}

    async def hold(self, buyer: dict[str, str], *lines: dict[str, Any]) -> Answer:
        return await self.call(
            "POST", f"{self.occurrence}/holds", json={"lines": lines}, headers={**buyer, **key()}
        )


@asynccontextmanager
async def running_edge(
    settings: Settings, redis: Redis, snapshot: Snapshot, *, port: int = 0
) -> AsyncIterator[Edge]:
    app = make_app(settings)
    runner = make_runner(app, shutdown_timeout_s=2)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        port = runner.addresses[0][1]
        url = f"http://127.0.0.1:{port}"
        # at hand from the start, so that holds go the lean way
        await app[SALE].known.get(snapshot.occurrence)
        async with aiohttp.ClientSession() as session:
            yield Edge(app, runner, url, port, session, redis, snapshot)
    finally:
        await runner.cleanup()


@dataclass
class Own:
    """An edge whose store can go away and come back."""

    edge: Edge
    server: Valkey

    async def away(self) -> None:
        await asyncio.to_thread(self.server.kill)

    async def back(self) -> None:
        await asyncio.to_thread(self.server.start)


async def eventually(condition: Callable[[], Awaitable[bool]], within_s: float = 10) -> None:
    """Wait until a condition holds, asked again and again."""
    async with asyncio.timeout(within_s):
        while not await condition():  # noqa: ASYNC110 - it is on the other side of a connection
            await asyncio.sleep(0.005)


class SeatMapClient:
    """Applies the messages of a live connection, as a client does."""

    def __init__(self) -> None:
        self.version = -1
        self.sections: list[bytearray] = []
        self.counts: dict[str, Any] = {}

    def apply(self, message: dict[str, Any]) -> None:
        if message["type"] == "snapshot":
            self.sections = [bytearray(section, "ascii") for section in message["sections"]]
            self.counts = {}
        else:
            assert message["from"] <= self.version
            for section, position, state in message["seats"]:
                self.sections[section][position] = ord(state)
        self.counts |= message["counts"]
        self.version = message["version"]
