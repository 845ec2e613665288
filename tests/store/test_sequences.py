"""The count of orders goes on above what is known, and never back."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from engine.platform.valkey import keys
from engine.platform.valkey.connections import get
from engine.sale.orders import sequences
from engine.sale.orders.sequences import raise_position, raise_sequence

SHARD = 3


@pytest.mark.parametrize(
    ("now", "least", "then"), [(0, 0, 0), (0, 7, 7), (5, 7, 7), (7, 7, 7), (9, 7, 9)]
)
async def test_it_is_raised_and_never_lowered(
    redis_client: Redis, now: int, least: int, then: int
) -> None:
    if now:
        await redis_client.set(keys.sequence(SHARD), now)
    await raise_sequence(redis_client, SHARD, least)
    assert int(await redis_client.get(keys.sequence(SHARD)) or 0) == then


async def test_who_counts_meanwhile_gets_numbers_of_his_own(
    redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[int] = []

    async def get_and_lose_time(client: Redis, key: str) -> bytes | None:
        value = await get(client, key)
        given.extend([await client.incr(key) for _ in range(20)])
        return value

    monkeypatch.setattr(sequences, "get", get_and_lose_time)
    for least in (10, 15, 60):
        await raise_sequence(redis_client, SHARD, least)
    given.append(await redis_client.incr(keys.sequence(SHARD)))
    assert len(set(given)) == len(given) == 61
    assert given[-1] > 60


@pytest.mark.parametrize("ahead_ms", [-3_600_000, 0, 3_600_000])
async def test_a_stream_goes_on_behind_what_is_known(redis_client: Redis, ahead_ms: int) -> None:
    stream = keys.stream(SHARD)
    await redis_client.xadd(stream, {"k": "x"})
    seconds, _ = await redis_client.time()
    least_ms = seconds * 1000 + ahead_ms
    for _ in range(2):  # it may have been killed after the first
        await raise_position(redis_client, SHARD, least_ms)
    assert await redis_client.xlen(stream) == 1
    added: Any = await redis_client.xadd(stream, {"k": "x"})
    assert int(added.split(b"-")[0]) > least_ms
