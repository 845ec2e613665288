"""The real program: it is killed, stopped, and asked how it is."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from redis.asyncio import Redis

from engine.core.settings import Settings
from engine.platform.telemetry.heartbeat import read_worker_status
from engine.platform.valkey import keys
from engine.sale.inventory import inspection, restoration
from engine.sale.inventory.snapshot import Snapshot
from engine.write_behind.consumer import GROUP
from tests.persist.conftest import (
    SHARD,
    STREAM,
    Database,
    connecting_may_block,
    database,
    snapshot,
    until,
)
from tests.persist.test_consumer import sell

__all__ = ["connecting_may_block", "database", "snapshot"]

PROJECT = Path(__file__).resolve().parents[2]


class Worker:
    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log

    async def port(self) -> int:
        found: list[str] = []

        async def started() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            found[:] = re.findall(r'"metrics_port":(\d+)', self.log.read_text())
            return bool(found)

        await until(started)
        return int(found[0])

    async def get(self, path: str) -> tuple[int, str]:
        url = f"http://127.0.0.1:{await self.port()}{path}"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status, await response.text()

    async def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return await asyncio.to_thread(self.process.wait, 30)


StartWorker = Callable[..., Worker]


@pytest.fixture
async def start_worker(settings: Settings, tmp_path: Path) -> AsyncIterator[StartWorker]:
    started: list[Worker] = []

    def start(**changes: str) -> Worker:
        log = tmp_path / f"worker-{len(started)}.log"
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "engine.app.cli", "worker"],
                cwd=PROJECT,
                stderr=stderr,
                env={
                    **os.environ,
                    "REDIS_URL": settings.redis_url,
                    "DATABASE_URL": settings.database_url,
                    "ONSALE_WORKER_METRICS_PORT": "0",
                    "ONSALE_PERSIST_BATCH": "4",
                    **changes,
                },
            )
        started.append(Worker(process, log))
        return started[-1]

    yield start
    for worker in started:
        worker.process.kill()
        worker.process.wait()


def stream_is_empty(client: Redis) -> Callable[[], Any]:
    async def empty() -> bool:
        return await client.xlen(STREAM) == 0

    return empty


async def test_killed_in_mid_run_another_worker_finishes_the_work(
    redis_client: Redis, snapshot: Snapshot, database: Database, start_worker: StartWorker
) -> None:
    first = start_worker()
    await first.port()
    await sell(redis_client, snapshot, 300)

    async def in_the_middle() -> bool:
        return 50 < await redis_client.xlen(STREAM) < 550

    await until(in_the_middle)
    assert await first.end(signal.SIGKILL) == -signal.SIGKILL
    left: Any = await redis_client.xpending(STREAM, GROUP)
    assert left["pending"] > 0  # what it had read and not acknowledged
    start_worker()
    await until(stream_is_empty(redis_client))
    counts = await database.counts()
    assert (counts["orders"], counts["order_events"], counts["tickets"]) == (300, 600, 300)
    assert await database.value("SELECT sum(amount) FROM ledger_entries") == 0


async def test_a_rebuild_that_was_cut_off_is_finished_by_a_worker_that_starts(
    redis_client: Redis, snapshot: Snapshot, start_worker: StartWorker
) -> None:
    await restoration.withdraw(redis_client, SHARD, snapshot.occurrence, force=False)
    await start_worker().port()

    async def finished() -> bool:
        return not await restoration.unfinished(redis_client)

    await until(finished)
    await inspection.read_counters(redis_client, SHARD, snapshot.occurrence)  # it is on sale


async def test_it_ends_on_sigterm_having_written_what_it_had_read(
    redis_client: Redis, snapshot: Snapshot, database: Database, start_worker: StartWorker
) -> None:
    worker = start_worker()
    await worker.port()
    await sell(redis_client, snapshot, 100)
    assert await worker.end(signal.SIGTERM) == 0
    counts = await database.counts()
    assert counts["order_events"] == 200 - await redis_client.xlen(STREAM)
    assert await redis_client.xinfo_consumers(STREAM, GROUP) == []
    for line in worker.log.read_text().splitlines():
        assert line.startswith("{"), line  # JSON, all of it


async def test_it_says_how_it_is(
    redis_client: Redis, snapshot: Snapshot, start_worker: StartWorker
) -> None:
    worker = start_worker()

    async def ready() -> bool:
        return (await worker.get("/health/ready"))[0] == 200

    await until(ready)
    assert (await read_worker_status(redis_client)).alive
    assert (await read_worker_status(redis_client)).postgres == "up"
    _, text = await worker.get("/metrics")
    assert "onsale_persist_postgres_up 1.0" in text
    assert 'onsale_service_rounds_total{service="expiry"}' in text


async def test_it_expires_holds(
    redis_client: Redis, snapshot: Snapshot, start_worker: StartWorker
) -> None:
    due = f"{keys.prefix(SHARD, snapshot.occurrence)}:due"
    await redis_client.zadd(due, {f"h{snapshot.organization}": 1})  # of a hold that is no more
    start_worker()

    async def swept() -> bool:
        return await redis_client.zcard(due) == 0

    await until(swept)


async def test_without_postgresql_it_starts_says_so_and_tries_on(
    redis_client: Redis, snapshot: Snapshot, start_worker: StartWorker
) -> None:
    worker = start_worker(DATABASE_URL="postgresql://postgres@127.0.0.1:1/onsale")
    await sell(redis_client, snapshot, 1)

    async def told() -> bool:
        status = await read_worker_status(redis_client)
        return status.postgres == "down" and "selling goes on" in worker.log.read_text()

    await until(told)
    assert await redis_client.xlen(STREAM) == 2
    assert await worker.end(signal.SIGTERM) == 0


async def test_a_taken_port_is_named(start_worker: StartWorker) -> None:
    first = start_worker()
    port = await first.port()
    second = start_worker(ONSALE_WORKER_METRICS_PORT=str(port))
    assert await asyncio.to_thread(second.process.wait, 30) == 1
    assert f"port {port}" in second.log.read_text()
    assert "ONSALE_WORKER_METRICS_PORT" in second.log.read_text()
