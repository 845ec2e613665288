"""One installation for all tests of this room; each breaks it and leaves it whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from engine.sale.inventory import inspection
from engine.sale.inventory.snapshot import Snapshot
from tests.adversity.stand import Crowd, Stand

OCCURRENCES = 12  # one for each test, and some to spare


@pytest.fixture(scope="session")
def stand(server_directory: Path) -> Iterator[Stand]:
    """Everything running, with several occurrences on sale."""
    made = Stand(server_directory / "stand")
    try:
        made.start()
        made.publish(OCCURRENCES)
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def used() -> set[str]:
    return set()


@pytest.fixture
async def snapshot(stand: Stand, used: set[str]) -> Snapshot:
    """An occurrence that no test has touched."""
    async with stand.client() as client:
        occurrence = await _fresh(client, used)
        used.add(occurrence)
        return await inspection.read_snapshot(client, occurrence)


async def _fresh(client: Redis, used: set[str]) -> str:
    published = await inspection.published(client)
    return next(occurrence for occurrence in sorted(published) if occurrence not in used)


@pytest.fixture
async def crowd(stand: Stand, snapshot: Snapshot) -> AsyncIterator[Crowd]:
    async with Crowd(stand, snapshot) as made:
        yield made
