"""A whole installation for tests that break it, and buyers that do not give up."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import subprocess
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp
from redis.asyncio import Redis

from devkit.parts import Errand, Service
from devkit.postgres import Postgres
from devkit.processes import Process, free_port
from devkit.valkey import Valkey
from engine.core.settings import Settings
from engine.platform.postgres.migration import upgrade
from engine.platform.valkey import keys
from engine.platform.valkey.connections import connect
from engine.sale.inventory.snapshot import Snapshot
from tests.conservation import assert_conserved

DATABASE = "stand"
SEATS, STANDING = 1_500, 248
_PATIENCE_S = 60.0


class Stand:
    """Valkey, PostgreSQL, the Stripe look-alike, two API processes on one port, and two workers."""

    def __init__(self, directory: Path) -> None:
        self.valkey = Valkey(directory / "valkey")
        self.postgres = Postgres(
            directory / "postgres",
            password=secrets.token_urlsafe(16),
            options={"shared_buffers": "64MB"},
        )
        self.port, stripe = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.stripe_url = f"http://127.0.0.1:{stripe}"
        settings = Settings()
        self.environment = {
            **os.environ,
            "REDIS_URL": f"{self.valkey.url}/0",
            "DATABASE_URL": self.postgres.database_url(DATABASE),
            "STRIPE_API_BASE": self.stripe_url,
            "ONSALE_API_PORT": str(self.port),
            "ONSALE_API_METRICS_PORT": "0",  # two APIs share this machine
            "STRIPE_SECRET_KEY": settings.stripe_secret_key,
            "STRIPE_PUBLISHABLE_KEY": settings.stripe_publishable_key,
            "STRIPE_WEBHOOK_SECRET": settings.stripe_webhook_secret,
            "ONSALE_PROVIDER_TIMEOUT_S": "3",
            "ONSALE_DOOR_DIFFICULTY": "0",  # the door has tests of its own
            "ONSALE_HOLD_PAUSE_S": "0",  # these buyers hold and give back without end
        }
        self.settings = Settings.from_environment(self.environment)
        log = self._log = directory / "log"
        self.stripe = Service(
            "stripe",
            "devkit.stripe",
            [
                *("--port", str(stripe), "--data", str(directory / "stripe.journal")),
                *("--webhook-url", f"{self.url}/v1/webhooks/stripe"),
            ],
            port=stripe,
            path="/health",
            log=log / "stripe",
            environment=self.environment,
        )
        self.apis = [
            Service(
                f"api {number}",
                "engine.app.cli",
                ["api"],
                port=self.port,
                path="/health/live",
                log=log / f"api-{number}",
                environment=self.environment,
                shared=True,
            )
            for number in (1, 2)
        ]
        self.workers = [
            Service(
                f"worker {number}",
                "engine.app.cli",
                ["worker"],
                port=port,
                path="/health/ready",
                log=log / f"worker-{number}",
                environment={**self.environment, "ONSALE_WORKER_METRICS_PORT": str(port)},
            )
            for number, port in ((1, free_port()), (2, free_port()))
        ]

    @property
    def processes(self) -> list[Process]:
        """All of them, in the order in which they are started."""
        return [self.valkey, self.postgres, self.stripe, *self.apis, *self.workers]

    def start(self) -> None:
        """Start everything."""
        self.valkey.start()
        self.postgres.start()
        upgrade(self.postgres.database_url(DATABASE), create=True)
        for process in (self.stripe, *self.apis, *self.workers):
            process.start()

    def stop(self) -> None:
        """Stop everything, in reverse order."""
        for process in reversed(self.processes):
            process.stop()

    async def revive(self, process: Process) -> None:
        """Kill -9 a process and start it again."""
        await asyncio.to_thread(process.kill)
        await asyncio.to_thread(process.start)

    def client(self) -> Redis:
        """Return a client of the Valkey."""
        return connect(f"{self.valkey.url}/0")

    def publish(self, occurrences: int) -> None:
        """Put a stadium event with so many occurrences on sale, by the commands that people use."""
        count = ["--occurrences", str(occurrences)]
        for arguments in (
            ["load", "--stadium", str(SEATS), "--general", str(STANDING), *count],
            ["publish", "stadium", "--all"],
        ):
            Errand(
                arguments[0], arguments, log=self._log / "errands", environment=self.environment
            ).start()

    def audit(self, occurrence: str) -> subprocess.CompletedProcess[str]:
        """Run ``onsale audit``."""
        return subprocess.run(  # noqa: PLW1510 - the caller looks at the exit code
            [sys.executable, "-m", "engine.app.cli", "audit", occurrence, "--json"],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )

    async def written(self) -> None:
        """Wait until every record is in PostgreSQL."""
        async with self.client() as client, asyncio.timeout(_PATIENCE_S):
            while True:
                lengths = [await client.xlen(stream) for stream in keys.STREAMS]
                if not any(lengths):
                    return
                await asyncio.sleep(0.02)

    async def conserved(self, snapshot: Snapshot) -> None:
        """Assert that stock is conserved."""
        async with self.client() as client:
            await assert_conserved(client, snapshot.occurrence)


@dataclass
class Log:
    """What the system has acknowledged to buyers; all of it must be true afterwards."""

    holds: dict[str, str] = field(default_factory=dict)  # hold -> buyer
    released: set[str] = field(default_factory=set)
    orders: dict[str, str] = field(default_factory=dict)  # order -> Authorization of its buyer
    paid: set[str] = field(default_factory=set)
    sold_out: int = 0
    retried: list[str] = field(default_factory=list)


class Crowd:
    """Buyers that repeat every request with its key until it is answered for good."""

    def __init__(self, stand: Stand, snapshot: Snapshot, *, seed: int = 0) -> None:
        self._stand = stand
        self._base = f"{stand.url}/v1/occurrences/{snapshot.occurrence}"
        self._dice = random.Random(seed)  # noqa: S311 - a test's dice
        self._session: aiohttp.ClientSession | None = None
        self.log = Log()

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def request(
        self, method: str, url: str, *, buyer: str = "", body: Any = None, form: Any = None
    ) -> tuple[int, Any]:
        """Send until the answer is no 5xx and no broken connection; the key stays the same."""
        assert self._session is not None
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        if buyer:
            headers["Authorization"] = buyer
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                try:
                    async with self._session.request(
                        method, url, json=body, data=form, headers=headers
                    ) as response:
                        answer = await response.json(content_type=None)
                        if response.status < 500:
                            return response.status, answer
                        self.log.retried.append(f"{url}: {answer}")
                except (aiohttp.ClientError, TimeoutError) as error:
                    self.log.retried.append(f"{url}: {error!r}")
                await asyncio.sleep(0.05 + self._dice.random() * 0.1)

    async def guest(self) -> str:
        status, answer = await self.request("POST", f"{self._stand.url}/v1/guests", body={})
        assert status == 201, answer
        return f"Bearer {answer['token']}"

    async def buy(self, line: dict[str, Any], buyer: str = "") -> None:
        """One buyer: hold, then most often check out and pay, else release or go away."""
        buyer = buyer or await self.guest()
        status, hold = await self.request(
            "POST", f"{self._base}/holds", buyer=buyer, body={"lines": [line]}
        )
        if status == 409:
            self.log.sold_out += 1
            return
        assert status == 201, hold
        self.log.holds[hold["id"]] = buyer
        choice = self._dice.random()
        if choice < 0.1:
            return
        if choice < 0.2:
            status, _ = await self.request(
                "DELETE", f"{self._base}/holds/{hold['id']}", buyer=buyer
            )
            assert status == 204
            self.log.released.add(hold["id"])
            return
        status, checkout = await self.request(
            "POST",
            f"{self._base}/holds/{hold['id']}/checkout",
            buyer=buyer,
            body={"email": "ada@example.org", "name": "Ada"},
        )
        assert status == 201, checkout
        order, payment = checkout["order"]["id"], checkout["payment"]
        self.log.orders[order] = buyer
        if choice < 0.3 or payment is None:
            return
        status, intent = await self.request(
            "POST",
            f"{self._stand.stripe_url}/v1/payment_intents/{payment['intent']}/confirm",
            buyer=f"Bearer {payment['publishable_key']}",
            form={"client_secret": payment["client_secret"], "payment_method": "pm_card_visa"},
        )
        assert status == 200, intent
        self.log.paid.add(order)

    async def run(self, lines: Callable[[int], dict[str, Any]], count: int, width: int) -> None:
        """Let ``count`` buyers come, ``width`` at a time."""
        numbers = iter(range(count))

        async def worker() -> None:
            for number in numbers:
                await self.buy(lines(number))

        await asyncio.gather(*(worker() for _ in range(width)))

    async def settled(self) -> dict[str, Any]:
        """Wait until every paid order is confirmed; return all orders as their buyers see them."""
        seen = {}
        for order, buyer in self.log.orders.items():
            async with asyncio.timeout(_PATIENCE_S):
                while True:
                    status, view = await self.request(
                        "GET", f"{self._base}/orders/{order}", buyer=buyer
                    )
                    assert status == 200, view
                    if order not in self.log.paid or view["state"] != "pending":
                        break
                    await asyncio.sleep(0.05)
            seen[order] = view
        return seen
