"""What every benchmark is given: options, a directory, a way to start and to tell."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis

from devkit.processes import Process, free_port
from devkit.valkey import Valkey
from engine.core.settings import Settings
from engine.platform.valkey.connections import connect
from loadtest.bench import servers
from loadtest.bench.results import Results

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """``rounds``: of every ratio; ``seconds``: of one run of wrk; ``seats``: of a stadium.

    ``places``: in the longest line; ``sockets``: that listen to one.
    """

    rounds: int
    seconds: float
    seats: int
    sale_s: float  # the window in which confirmed and persisted orders are counted
    places: int
    sockets: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """One run of the benchmarks."""

    options: Options
    directory: Path
    results: Results
    say: Say

    def log(self, name: str) -> Path:
        """Return the log file of a part."""
        return self.directory / f"{name}.log"

    @asynccontextmanager
    async def running(self, *parts: Process, core: int | None = None) -> AsyncIterator[None]:
        """Start parts side by side, pinned if a core is given; stop them at the end."""
        try:
            await asyncio.gather(*(asyncio.to_thread(part.start, 60.0) for part in parts))
            for part in parts if core is not None else ():
                servers.pin(part.pid, core or 0)
            yield
        finally:
            await asyncio.gather(*(asyncio.to_thread(part.stop) for part in reversed(parts)))

    @asynccontextmanager
    async def valkey(self, name: str) -> AsyncIterator[tuple[Valkey, Redis]]:
        """Give a fresh Valkey on the load's core, every write synced, and a client."""
        server = Valkey(self.directory / name, log=self.log(name))
        async with self.running(server, core=servers.LOAD_CORE):
            client = connect(f"{server.url}/0")
            try:
                yield server, client
            finally:
                await client.aclose()


def make_settings(
    valkey: Valkey, *, database_url: str = "postgresql://127.0.0.1:1/none"
) -> Settings:
    """Return settings with free ports; without a database nobody asks for one."""
    port = free_port()
    return Settings(
        redis_url=f"{valkey.url}/0",
        database_url=database_url,
        stripe_api_base=f"http://127.0.0.1:{free_port()}",
        api_port=port,
        public_url=f"http://127.0.0.1:{port}",
        api_metrics_port=free_port(),
        worker_metrics_port=free_port(),
    )
