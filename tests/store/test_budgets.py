"""Budgets that belong to no occurrence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from engine.core.errors import InvalidRequestError, TooManyRequestsError
from engine.store.batcher import Batcher
from engine.store.budgets import take_budget
from engine.store.client import run_one
from engine.store.codes import Code
from tests.http.running import eventually

NAME = b"12345678"
PLACE = "{s01}:budget"
HEX = NAME.hex()


@pytest.fixture
async def batcher(valkey_url: str, redis_client: Redis) -> AsyncIterator[Batcher]:
    one = Batcher(f"{valkey_url}/0")
    await one.start()
    yield one
    await one.stop()


async def test_exactly_as_many_as_the_limit_get_one(batcher: Batcher) -> None:
    answers = await asyncio.gather(
        *(take_budget(batcher, NAME, 10, 60_000) for _ in range(50)), return_exceptions=True
    )
    refused = [answer for answer in answers if isinstance(answer, TooManyRequestsError)]
    assert len(refused) == 40
    assert all(0 < (error.retry_after_s or 0) <= 60 for error in refused)
    await take_budget(batcher, b"another!", 10, 60_000)


async def test_a_new_window_begins_after_the_old_one(batcher: Batcher, redis_client: Redis) -> None:
    await take_budget(batcher, NAME, 1, 100)
    with pytest.raises(TooManyRequestsError):
        await take_budget(batcher, NAME, 1, 100)

    async def over() -> bool:
        return not await redis_client.keys("*budget*")

    await eventually(over)
    await take_budget(batcher, NAME, 1, 60_000)


async def test_the_window_does_not_move(batcher: Batcher, redis_client: Redis) -> None:
    await take_budget(batcher, NAME, 3, 60_000)
    (name,) = await redis_client.keys("*budget*")
    await redis_client.pexpire(name, 30_000)
    await take_budget(batcher, NAME, 3, 60_000)
    assert 0 < await redis_client.pttl(name) <= 30_000


async def test_a_limit_out_of_range_is_refused(batcher: Batcher) -> None:
    with pytest.raises(InvalidRequestError):
        await take_budget(batcher, NAME, 0, 60_000)


@pytest.mark.parametrize(
    "request_",
    [
        [],
        ["", 1, 1_000],
        [HEX[:-1], 1, 1_000],
        [HEX.replace("3", "G"), 1, 1_000],
        [1, 1, 1_000],
        [HEX, 0, 1_000],
        [HEX, -1, 1_000],
        [HEX, 1.5, 1_000],
        [HEX, "1", 1_000],
        [HEX, 1, 0],
        [HEX, 1, 10**9],
        [HEX, 1, None],
    ],
    ids=str,
)
async def test_malformed_requests_do_nothing(redis_client: Redis, request_: list[Any]) -> None:
    assert await run_one(redis_client, "budget_take", PLACE, request_) == [Code.INVALID]
    assert not await redis_client.keys("*budget*")
