"""PostgreSQL for the benchmarks that need it, and stadiums published by way of it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from redis.asyncio import Redis

from devkit.postgres import Postgres
from engine.catalogue.load import load
from engine.catalogue.publish import Publication, publish_occurrence
from engine.catalogue.stadium import stadium
from engine.platform.postgres.migration import upgrade
from engine.platform.postgres.session import sessions
from loadtest.bench.context import Context

_DATABASE = "bench"


@asynccontextmanager
async def postgres(context: Context, name: str) -> AsyncIterator[str]:
    """Give the address of a migrated database on a fresh server as it comes: synced to disk."""
    server = Postgres(
        context.directory / name, password=secrets.token_urlsafe(16), log=context.log(name)
    )
    async with context.running(server):
        url = server.database_url(_DATABASE)
        await asyncio.to_thread(upgrade, url, create=True)
        yield url


async def publish_stadiums(
    context: Context, database_url: str, client: Redis, occurrences: int
) -> list[Publication]:
    """Load a stadium with so many dates and publish them all."""
    seats = context.options.seats
    context.say(f"loading and publishing {occurrences} dates of {seats:,} seats")
    catalogue = await asyncio.to_thread(
        stadium, seats, slug="load", occurrences=occurrences, general=0
    )
    async with sessions(database_url) as factory:
        async with factory.begin() as session:
            loaded = await load(session, catalogue)
        return [
            await publish_occurrence(factory, client, UUID(item.id)) for item in loaded.occurrences
        ]
