"""Runs what is due in the catalogue; its libraries are loaded once everything else runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from redis.asyncio import Redis

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from engine.catalogue.releases import Releases

_INTERVAL_S: Final = 2.0  # how soon a release is noticed: two small indexed queries


class DueReleases:
    """A service around :class:`engine.catalogue.releases.Releases`."""

    name = "releases"
    interval_s = _INTERVAL_S

    def __init__(self, database_url: str, client: Redis) -> None:
        self._database_url = database_url
        self._client = client
        self._engine: AsyncEngine | None = None
        self._releases: Releases | None = None

    async def run_once(self) -> int:
        """Do what is due. Raises ``DatabaseUnavailableError``, ``RedisError``."""
        if self._releases is None:
            # SQLAlchemy takes a second of a busy machine, in which the others sweep and write
            self._releases = await asyncio.to_thread(self._made)
        return await self._releases.run_once()

    async def stop(self) -> None:
        """Close the connections."""
        if self._engine is not None:
            await self._engine.dispose()

    def _made(self) -> Releases:
        from engine.catalogue.releases import Releases
        from engine.platform.postgres.session import async_engine, session_factory

        self._engine = async_engine(self._database_url)
        return Releases(session_factory(self._engine), self._client)
