from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from blockbuster import BlockBuster
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from engine.catalogue.files import read_event
from engine.catalogue.load import Loaded, load
from engine.platform.postgres.session import sessions
from tests.catalogue.documents import written

Loader = Callable[..., Awaitable[Loaded]]


@pytest.fixture
async def factory(database_url: str) -> AsyncIterator[async_sessionmaker[AsyncSession]]:
    async with sessions(database_url) as made:
        yield made


@pytest.fixture
def loader(factory: async_sessionmaker[AsyncSession], tmp_path: Path) -> Loader:
    """Loads an event document (and plan) into the test's database."""

    async def loads(document: Any, seating: Any = None) -> Loaded:
        catalogue = await asyncio.to_thread(read_event, written(tmp_path, document, seating))
        async with factory.begin() as session:
            return await load(session, catalogue)

    return loads


@pytest.fixture(autouse=True)
def connecting_may_block(blockbuster: BlockBuster) -> None:
    """asyncpg looks for certificates in the home directory each time it connects."""
    for function in blockbuster.functions.values():
        function.can_block_in("asyncpg/connect_utils.py", "_parse_connect_dsn_and_args")
