"""Tickets for live connections are good for one connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from engine.core.errors import InvalidRequestError
from engine.platform.valkey.batcher import Batcher
from engine.platform.valkey.codes import Code
from engine.platform.valkey.connections import run_one
from engine.platform.valkey.used_tickets import use_ticket

TICKET = bytes(range(16))


@pytest.fixture
async def batcher(valkey_url: str, redis_client: Redis) -> AsyncIterator[Batcher]:
    one = Batcher(f"{valkey_url}/0")
    await one.start()
    yield one
    await one.stop()


async def test_a_ticket_is_used_once(batcher: Batcher) -> None:
    assert await use_ticket(batcher, TICKET, 60)
    assert not await use_ticket(batcher, TICKET, 60)
    assert await use_ticket(batcher, bytes(16), 60)


async def test_of_many_at_once_one_is_the_first(batcher: Batcher) -> None:
    first = await asyncio.gather(*(use_ticket(batcher, TICKET, 60) for _ in range(50)))
    assert first.count(True) == 1


async def test_it_is_forgotten_in_time(batcher: Batcher, redis_client: Redis) -> None:
    await use_ticket(batcher, TICKET, 60)
    assert 0 < await redis_client.ttl(f"{{s00}}:ticket:{TICKET.hex()}") <= 60


async def test_they_are_spread_over_the_shards(batcher: Batcher, redis_client: Redis) -> None:
    for number in range(16):
        await use_ticket(batcher, bytes([number]) + bytes(15), 60)
    names = [name async for name in redis_client.scan_iter(match="*:ticket:*")]
    assert len({name.partition(b":")[0] for name in names}) == 16


async def test_a_time_out_of_range_is_refused(batcher: Batcher, redis_client: Redis) -> None:
    with pytest.raises(InvalidRequestError):
        await use_ticket(batcher, TICKET, 10**9)
    assert not await redis_client.keys("*ticket*")


@pytest.mark.parametrize(
    "request_",
    [
        [],
        ["", 60],
        ["0" * 31, 60],
        ["G" * 32, 60],
        [1, 60],
        ["0" * 32, 0],
        ["0" * 32, -1],
        ["0" * 32, 1.5],
        ["0" * 32, "60"],
        ["0" * 32, 10**9],
        ["0" * 32, None],
    ],
    ids=str,
)
async def test_malformed_requests_do_nothing(redis_client: Redis, request_: list[Any]) -> None:
    answer = await run_one(redis_client, "ticket_use", "{s00}:ticket", request_)
    assert answer == [Code.INVALID]
    assert not await redis_client.keys("*ticket*")
