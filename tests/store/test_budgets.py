"""Budgets that belong to no occurrence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from engine.core.errors import InvalidRequestError
from engine.platform.http.errors import TooManyRequestsError
from engine.platform.valkey.batcher import Batcher
from engine.platform.valkey.budgets import take_budgets
from engine.platform.valkey.codes import Code
from engine.platform.valkey.connections import run_one
from tests.http.running import eventually

NAME, WIDER = b"12345678", b"another!"
SHARD = 1
PLACE = "{s01}:budget"
HEX = NAME.hex()


@pytest.fixture
async def batcher(valkey_url: str, redis_client: Redis) -> AsyncIterator[Batcher]:
    one = Batcher(f"{valkey_url}/0")
    await one.start()
    yield one
    await one.stop()


async def take(batcher: Batcher, limit: int, window_ms: int, name: bytes = NAME) -> None:
    await take_budgets(batcher, SHARD, [(name, limit)], window_ms, "Too many of them")


async def test_exactly_as_many_as_the_limit_get_one(batcher: Batcher) -> None:
    answers = await asyncio.gather(
        *(take(batcher, 10, 60_000) for _ in range(50)), return_exceptions=True
    )
    refused = [answer for answer in answers if isinstance(answer, TooManyRequestsError)]
    assert len(refused) == 40
    assert all(0 < (error.retry_after_s or 0) <= 60 for error in refused)
    assert {str(error) for error in refused} == {"Too many of them"}
    await take(batcher, 10, 60_000, WIDER)


async def test_a_new_window_begins_after_the_old_one(batcher: Batcher, redis_client: Redis) -> None:
    await take(batcher, 1, 100)
    with pytest.raises(TooManyRequestsError):
        await take(batcher, 1, 100)

    async def over() -> bool:
        return not await redis_client.keys("*budget*")

    await eventually(over)
    await take(batcher, 1, 60_000)


async def test_the_window_does_not_move(batcher: Batcher, redis_client: Redis) -> None:
    await take(batcher, 3, 60_000)
    (name,) = await redis_client.keys("*budget*")
    await redis_client.pexpire(name, 30_000)
    await take(batcher, 3, 60_000)
    assert 0 < await redis_client.pttl(name) <= 30_000


async def test_of_several_all_are_taken_or_none(batcher: Batcher, redis_client: Redis) -> None:
    async def both(narrow: int, wide: int) -> bool:
        try:
            await take_budgets(batcher, SHARD, [(NAME, narrow), (WIDER, wide)], 60_000, "No")
        except TooManyRequestsError:
            return False
        return True

    assert [await both(2, 5) for _ in range(4)] == [True, True, False, False]
    counts = [await redis_client.get(f"{PLACE}:{name.hex()}") for name in (NAME, WIDER)]
    assert counts == [b"2", b"2"]  # what was refused has taken of neither
    assert [await both(9, 3) for _ in range(2)] == [True, False]


async def test_of_several_that_are_used_up_the_last_to_come_back_counts(batcher: Batcher) -> None:
    await take(batcher, 1, 5_000)
    await take(batcher, 1, 60_000, WIDER)
    for names in ([NAME, WIDER], [WIDER, NAME]):
        with pytest.raises(TooManyRequestsError) as refused:
            await take_budgets(batcher, SHARD, [(name, 1) for name in names], 60_000, "No")
        assert 5 < (refused.value.retry_after_s or 0) <= 60


async def test_a_limit_out_of_range_is_refused(batcher: Batcher) -> None:
    with pytest.raises(InvalidRequestError):
        await take(batcher, 0, 60_000)


@pytest.mark.parametrize(
    "request_",
    [
        [],
        [1_000],
        [1_000, HEX],
        [1_000, HEX, 1, HEX],
        [1_000, *[HEX, 1] * 9],
        [1_000, "", 1],
        [1_000, HEX[:-1], 1],
        [1_000, HEX.replace("3", "G"), 1],
        [1_000, 1, 1],
        [1_000, HEX, 0],
        [1_000, HEX, -1],
        [1_000, HEX, 1.5],
        [1_000, HEX, "1"],
        [1_000, HEX, 1, HEX[::-1], 0],
        [0, HEX, 1],
        [10**9, HEX, 1],
        [None, HEX, 1],
    ],
    ids=str,
)
async def test_malformed_requests_do_nothing(redis_client: Redis, request_: list[Any]) -> None:
    assert await run_one(redis_client, "budget_take", PLACE, request_) == [Code.INVALID]
    assert not await redis_client.keys("*budget*")
