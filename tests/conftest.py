"""Fixtures of all rooms: real servers, fresh databases, and guards against bad habits.

Asked to be strict (``CI=true``), a skipped test is a failed test.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import psycopg
import pytest
from blockbuster import BlockBuster, blockbuster_ctx
from psycopg import sql
from redis.asyncio import Redis

from devkit.postgres import Postgres
from devkit.valkey import Valkey
from engine.core.settings import Settings
from engine.platform.postgres.migration import upgrade
from engine.platform.valkey.connections import connect

_LEFTOVER_TASKS_S = 1.0  # a task that was cancelled may need some turns of the loop
_STRICT = os.environ.get("CI") == "true"
_TEMPLATE = "onsale_template"


@pytest.fixture(scope="session")
def server_directory() -> Iterator[Path]:
    """A directory for servers; unlike pytest's own, other users may enter it (see Postgres)."""
    directory = Path(tempfile.mkdtemp(prefix="onsale-test-"))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def valkey_url(server_directory: Path) -> Iterator[str]:
    """An embedded Valkey's ``redis://127.0.0.1:PORT``; every write is on disk before its answer."""
    server = Valkey(server_directory / "valkey")
    server.start()
    yield server.url
    server.stop()


@pytest.fixture
async def redis_client(valkey_url: str) -> AsyncIterator[Redis]:
    """A client of the embedded Valkey, which is empty."""
    async with connect(f"{valkey_url}/0") as client:
        await client.flushall()
        yield client


@pytest.fixture(scope="session")
def postgres_server(server_directory: Path) -> Iterator[Postgres]:
    """The embedded PostgreSQL. Not synced to disk: a killed process loses nothing by that."""
    server = Postgres(
        server_directory / "postgres",
        password=secrets.token_urlsafe(16),
        options={"fsync": "off", "full_page_writes": "off", "shared_buffers": "64MB"},
    )
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres_url(postgres_server: Postgres) -> str:
    """The address of the embedded PostgreSQL's database ``postgres``, as its superuser."""
    return postgres_server.url


@pytest.fixture(scope="session")
def migrated_template(postgres_server: Postgres) -> str:
    """The name of a database with all migrations, to be copied and never connected to."""
    upgrade(postgres_server.database_url(_TEMPLATE), create=True)
    return _TEMPLATE


_numbers = itertools.count(1)


@pytest.fixture
def database_url(postgres_server: Postgres, migrated_template: str) -> Iterator[str]:
    """The address of a fresh, migrated database."""
    name = f"onsale_test_{next(_numbers)}"
    _execute(postgres_server.url, "CREATE DATABASE {} TEMPLATE {}", name, migrated_template)
    yield postgres_server.database_url(name)
    _execute(postgres_server.url, "DROP DATABASE {} WITH (FORCE)", name)


@pytest.fixture
def settings(valkey_url: str, database_url: str) -> Settings:
    """Settings for the embedded servers; all else has its default."""
    return Settings(redis_url=f"{valkey_url}/0", database_url=database_url)


def _execute(url: str, statement: str, *names: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


@pytest.fixture(autouse=True)
def blockbuster() -> Iterator[BlockBuster]:
    """A blocking call that the engine makes in an event loop raises ``BlockingError``."""
    with blockbuster_ctx("engine") as detector:
        yield detector


@pytest.fixture
async def no_task_left() -> AsyncIterator[None]:
    """After an async test, and after its fixtures are closed, no task may be running."""
    yield
    left = asyncio.all_tasks() - {asyncio.current_task()}
    if left:
        _, left = await asyncio.wait(left, timeout=_LEFTOVER_TASKS_S)
    assert not left, f"tasks are still running: {left}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.function):
            item.fixturenames.insert(0, "no_task_left")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if _STRICT and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and CI=true allows no skipping"
    return report
