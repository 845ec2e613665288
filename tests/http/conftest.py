"""A real edge in front of the embedded Valkey and the Stripe look-alike."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from engine.embedded.stripe.lookalike import StripeLookalike
from engine.settings import Settings
from engine.store.publication import publish
from tests.http.running import SHARD, Edge, make_snapshot, running_edge


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
