"""What is kept once, for a while."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from engine.core.errors import InvalidRequestError
from engine.store.batcher import Batcher
from engine.store.client import run_one
from engine.store.codes import Code
from engine.store.remembered import remember

KEY = bytes(range(16))


@pytest.fixture
async def batcher(valkey_url: str, redis_client: Redis) -> AsyncIterator[Batcher]:
    one = Batcher(f"{valkey_url}/0")
    await one.start()
    yield one
    await one.stop()


async def test_the_first_value_stays(batcher: Batcher) -> None:
    assert await remember(batcher, "guest", KEY, b"first", 60) == (b"first", True)
    assert await remember(batcher, "guest", KEY, b"second", 60) == (b"first", False)
    assert await remember(batcher, "guest", KEY, b"first", 60) == (b"first", False)
    assert await remember(batcher, "guest", bytes(16), b"second", 60) == (b"second", True)


async def test_kinds_do_not_meet(batcher: Batcher) -> None:
    assert await remember(batcher, "guest", KEY, b"first", 60) == (b"first", True)
    assert await remember(batcher, "ticket", KEY, b"second", 60) == (b"second", True)


async def test_of_many_at_once_one_is_the_first(batcher: Batcher) -> None:
    kept = await asyncio.gather(
        *(remember(batcher, "ticket", KEY, b"%d" % number, 60) for number in range(50))
    )
    assert [one.new for one in kept].count(True) == 1
    assert len({one.value for one in kept}) == 1


async def test_it_is_forgotten_in_time(batcher: Batcher, redis_client: Redis) -> None:
    await remember(batcher, "guest", KEY, b"first", 60)
    assert 0 < await redis_client.ttl(f"{{s00}}:guest:{KEY.hex()}") <= 60


async def test_keys_are_spread_over_the_shards(batcher: Batcher, redis_client: Redis) -> None:
    for number in range(16):
        await remember(batcher, "guest", bytes([number]) + bytes(15), b"x", 60)
    names = [name async for name in redis_client.scan_iter(match="*:guest:*")]
    assert len({name.partition(b":")[0] for name in names}) == 16


async def test_a_value_that_is_too_long_is_refused(batcher: Batcher, redis_client: Redis) -> None:
    with pytest.raises(InvalidRequestError):
        await remember(batcher, "guest", KEY, b"x" * 2001, 60)
    assert not await redis_client.keys("*guest*")


@pytest.mark.parametrize(
    "request_",
    [
        [],
        ["", b"x", 60],
        ["0" * 31, b"x", 60],
        ["G" * 32, b"x", 60],
        [1, b"x", 60],
        ["0" * 32, None, 60],
        ["0" * 32, 1, 60],
        ["0" * 32, b"x", 0],
        ["0" * 32, b"x", -1],
        ["0" * 32, b"x", 1.5],
        ["0" * 32, b"x", "60"],
        ["0" * 32, b"x", 10**9],
        ["0" * 32, b"x", None],
    ],
    ids=str,
)
async def test_malformed_requests_do_nothing(redis_client: Redis, request_: list[Any]) -> None:
    answer = await run_one(redis_client, "remember", "{s00}:guest", request_)
    assert answer == [Code.INVALID]
    assert not await redis_client.keys("*guest*")
