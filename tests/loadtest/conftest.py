"""A whole installation in processes, for what plays on one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from devkit.processes import free_port
from engine.core.settings import Settings
from loadtest.bench import servers


@pytest.fixture
def playing(settings: Settings, redis_client: Redis, tmp_path: Path) -> Iterator[Settings]:
    """An API process, a worker and the provider's look-alike, on the servers of the tests."""
    port = free_port()
    found = dataclasses.replace(
        settings,
        api_port=port,
        public_url=f"http://127.0.0.1:{port}",
        stripe_api_base=f"http://127.0.0.1:{free_port()}",
        api_metrics_port=free_port(),
        worker_metrics_port=free_port(),
    )
    variables = servers.environment(found)
    provider_port = int(found.stripe_api_base.rpartition(":")[2])
    parts = (
        servers.lookalike(found, provider_port, tmp_path / "lookalike.log"),
        servers.worker(variables, found.worker_metrics_port, tmp_path / "worker.log"),
        servers.api(variables, found.api_port, tmp_path / "api.log"),
    )
    try:
        for part in parts:
            part.spawn()
        for part in parts:
            part.wait_ready()
        yield found
    finally:
        for part in parts:
            part.stop()
