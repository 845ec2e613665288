"""A real edge in front of the embedded Valkey and the Stripe look-alike."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from redis.asyncio import Redis

from devkit.stripe.lookalike import StripeLookalike
from devkit.valkey import Valkey
from engine.core.settings import Settings
from engine.platform.valkey.connections import connect
from engine.sale.inventory.publication import publish
from tests.http.running import SHARD, Edge, Own, make_snapshot, running_edge


@pytest.fixture
async def stripe() -> AsyncIterator[StripeLookalike]:
    lookalike = StripeLookalike()
    await lookalike.start()
    yield lookalike
    await lookalike.stop()


@pytest.fixture
def edge_settings(valkey_url: str, stripe: StripeLookalike) -> Settings:
    return Settings(
        redis_url=f"{valkey_url}/0",
        stripe_api_base=stripe.url,
        live_interval_ms=10,
        provider_timeout_s=2.0,
    )


@pytest.fixture
async def edge(edge_settings: Settings, redis_client: Redis) -> AsyncIterator[Edge]:
    """An edge that sells one occurrence."""
    snapshot = make_snapshot()
    await publish(redis_client, snapshot, shard=SHARD)
    async with running_edge(edge_settings, redis_client, snapshot) as running:
        yield running


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[Valkey]:
    server = Valkey(tmp_path / "valkey")
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def own(edge_settings: Settings, own_valkey: Valkey) -> AsyncIterator[Own]:
    """An edge with a store of its own, which a test may stop."""
    snapshot = make_snapshot()
    settings = replace(edge_settings, redis_url=f"{own_valkey.url}/0")
    async with connect(settings.redis_url) as client:
        await publish(client, snapshot, shard=SHARD)
        async with running_edge(settings, client, snapshot) as running:
            yield Own(running, own_valkey)
