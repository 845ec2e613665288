"""PostgreSQL goes and comes back; nothing is lost, nothing is doubled."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from devkit.postgres import Postgres
from engine.platform.jobs.runner import Runner
from engine.platform.postgres.errors import DatabaseUnavailableError
from engine.platform.postgres.migration import upgrade
from engine.sale.inventory import publication
from engine.sale.inventory.snapshot import Snapshot
from engine.write_behind import metrics, tables
from engine.write_behind.consumer import connect_pool
from tests.houses import small_house
from tests.persist.conftest import SHARD, STREAM, MakeConsumer, enter, until
from tests.persist.test_consumer import sell


@pytest.fixture
def own_postgres(server_directory: Path) -> Iterator[Postgres]:
    """A server of its own, which a test may stop."""
    server = Postgres(
        server_directory / f"postgres-{secrets.token_hex(4)}",
        password=secrets.token_urlsafe(16),
        options={"shared_buffers": "16MB"},
    )
    server.start()
    upgrade(server.url)
    yield server
    server.stop()


@pytest.fixture
async def own_pool(own_postgres: Postgres) -> AsyncIterator[asyncpg.Pool]:
    pool = await connect_pool(own_postgres.url)
    yield pool
    pool.terminate()


@pytest.fixture
async def own_snapshot(redis_client: Redis, own_postgres: Postgres) -> Snapshot:
    snapshot = small_house()
    connection = await asyncpg.connect(own_postgres.url)
    await tables.prepare(connection)
    await enter(connection, snapshot)
    await connection.close()
    await publication.publish(redis_client, snapshot, shard=SHARD)
    return snapshot


async def count(postgres: Postgres, table: str) -> int:
    connection = await asyncpg.connect(postgres.url)
    try:
        found: int = await connection.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608 - a test's own name
    finally:
        await connection.close()
    return found


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_postgresql_away_in_mid_run_loses_and_doubles_nothing(
    redis_client: Redis,
    own_postgres: Postgres,
    own_pool: asyncpg.Pool,
    own_snapshot: Snapshot,
    make_consumer: MakeConsumer,
    caplog: pytest.LogCaptureFixture,
    how: str,
) -> None:
    consumer = make_consumer(pool=own_pool, batch=5, claim_idle_ms=100)
    runner = Runner([consumer])
    stop = asyncio.Event()
    running = asyncio.create_task(runner.run(stop))
    await sell(redis_client, own_snapshot, 40)

    async def some_are_written() -> bool:
        return await redis_client.xlen(STREAM) < 80

    await until(some_are_written)
    await asyncio.to_thread(getattr(own_postgres, how))
    await sell(redis_client, own_snapshot, 40, first=41)

    async def noticed() -> bool:
        return runner.states["persist"].failures > 1

    with caplog.at_level(logging.WARNING):
        await until(noticed)
    assert "they wait in the streams and selling goes on" in caplog.text
    assert metrics.POSTGRES_UP._value.get() == 0
    assert runner.ready  # it tries on, nothing needs a person
    await asyncio.to_thread(own_postgres.start)

    async def all_are_written() -> bool:
        return await redis_client.xlen(STREAM) == 0

    await until(all_are_written)
    stop.set()
    await running
    assert metrics.POSTGRES_UP._value.get() == 1
    assert await count(own_postgres, "orders WHERE state = 'confirmed'") == 80
    assert await count(own_postgres, "order_events") == 160
    assert await count(own_postgres, "tickets") == 80
    assert await count(own_postgres, "dead_letters") == 0


async def test_with_postgresql_away_from_the_start_the_consumer_waits_for_it(
    redis_client: Redis,
    own_postgres: Postgres,
    own_pool: asyncpg.Pool,
    own_snapshot: Snapshot,
    make_consumer: MakeConsumer,
) -> None:
    await sell(redis_client, own_snapshot, 1)
    await asyncio.to_thread(own_postgres.stop)
    consumer = make_consumer(pool=own_pool)
    with pytest.raises(DatabaseUnavailableError):
        await consumer.run_once()
    await asyncio.to_thread(own_postgres.start)
    assert await consumer.run_once() == 2
