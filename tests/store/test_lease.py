"""Who may do what only one process does at a time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from engine.core.errors import InvalidRequestError
from engine.core.ids import new_id
from engine.platform.valkey import lease
from engine.platform.valkey.codes import Code
from engine.platform.valkey.connections import connect, run_one
from engine.platform.valkey.lease import ADMISSION, Lease, Taken
from engine.platform.valkey.packing import pack, unpack

ONE, OTHER = "1" * 32, "2" * 32


async def take(client: Redis, owner: str, ttl_ms: int = 5_000, **more: int) -> Lease | Taken:
    return await lease.take(client, ADMISSION, owner, ttl_ms, **more)


async def taken(client: Redis, owner: str, ttl_ms: int = 5_000, **more: int) -> Lease:
    found = await take(client, owner, ttl_ms, **more)
    assert isinstance(found, Lease), found
    return found


async def run_out(client: Redis) -> None:
    """Let the lease run out: as time does, without waiting for it."""
    value = await client.get(ADMISSION)
    assert isinstance(value, bytes)
    owner, fence, _ = unpack(value)
    await client.set(ADMISSION, pack([owner, fence, 1]))


async def test_one_has_it_and_renews_it(redis_client: Redis) -> None:
    first = await taken(redis_client, ONE)
    again = await taken(redis_client, ONE, 3_000)
    assert (first.fence, first.ttl_ms) == (1, 5_000)
    assert (again.fence, again.ttl_ms) == (1, 3_000)


async def test_another_is_told_how_long_it_is_taken(redis_client: Redis) -> None:
    await taken(redis_client, ONE)
    other = await take(redis_client, OTHER)
    assert isinstance(other, Taken)
    assert 0 < other.left_ms <= 5_000
    assert (await taken(redis_client, ONE)).fence == 1


async def test_the_fence_grows_with_every_change_of_owner(redis_client: Redis) -> None:
    fences = []
    for owner in (ONE, OTHER, ONE, ONE, OTHER):
        fences.append((await taken(redis_client, owner)).fence)
        await run_out(redis_client)
    assert fences == [1, 2, 3, 3, 4]


async def test_it_runs_out_by_itself(redis_client: Redis) -> None:
    await taken(redis_client, ONE, 30)
    async with asyncio.timeout(10):
        while isinstance(await take(redis_client, OTHER), Taken):  # noqa: ASYNC110 - Redis' clock
            await asyncio.sleep(0.005)
    assert isinstance(await take(redis_client, ONE), Taken)


async def test_released_it_is_free_at_once(redis_client: Redis) -> None:
    await taken(redis_client, ONE)
    await lease.release(redis_client, ADMISSION, ONE)
    assert (await taken(redis_client, OTHER)).fence == 2


async def test_nobody_releases_anothers(redis_client: Redis) -> None:
    await lease.release(redis_client, ADMISSION, ONE)  # there is none yet
    await taken(redis_client, ONE)
    await lease.release(redis_client, ADMISSION, OTHER)
    assert isinstance(await take(redis_client, OTHER), Taken)


async def test_taken_again_after_a_release_it_has_a_new_fence(redis_client: Redis) -> None:
    await taken(redis_client, ONE)
    await lease.release(redis_client, ADMISSION, ONE)
    assert (await taken(redis_client, ONE)).fence == 2


async def test_the_fence_is_above_one_that_was_seen(redis_client: Redis) -> None:
    assert (await taken(redis_client, ONE, above=41)).fence == 42
    assert (await taken(redis_client, ONE, above=42)).fence == 42
    assert (await taken(redis_client, ONE)).fence == 42
    assert (await taken(redis_client, ONE, above=50)).fence == 51  # the lease itself was lost
    await run_out(redis_client)
    assert (await taken(redis_client, OTHER)).fence == 52


async def test_of_many_contenders_one_gets_it(valkey_url: str, redis_client: Redis) -> None:
    async with connect(f"{valkey_url}/0") as client:
        found = await asyncio.gather(*(take(client, new_id()) for _ in range(50)))
    assert sum(isinstance(one, Lease) for one in found) == 1


@pytest.mark.parametrize(
    "request_",
    [
        [],
        ["", 5_000, 0],
        ["0" * 31, 5_000, 0],
        ["G" * 32, 5_000, 0],
        [1, 5_000, 0],
        [None, 5_000, 0],
        [ONE, 0, 0],
        [ONE, -1, 0],
        [ONE, 1.5, 0],
        [ONE, "5000", 0],
        [ONE, lease.TTL_MS_MAX + 1, 0],
        [ONE, None, 0],
        [ONE, 5_000],
        [ONE, 5_000, -1],
        [ONE, 5_000, 0.5],
        [ONE, 5_000, "1"],
        [ONE, 5_000, 1e300],
    ],
    ids=str,
)
async def test_malformed_requests_do_nothing(redis_client: Redis, request_: list[Any]) -> None:
    assert await run_one(redis_client, "lease_take", ADMISSION, request_) == [Code.INVALID]
    assert await redis_client.dbsize() == 0


@pytest.mark.parametrize("owner", ["", "x" * 32, 7, None])
async def test_malformed_releases_do_nothing(redis_client: Redis, owner: Any) -> None:
    await taken(redis_client, ONE)
    answer = await run_one(redis_client, "lease_release", ADMISSION, [owner])
    assert answer == [Code.INVALID]
    assert isinstance(await take(redis_client, OTHER), Taken)


async def test_the_binding_refuses_what_the_script_refuses(redis_client: Redis) -> None:
    with pytest.raises(InvalidRequestError):
        await take(redis_client, ONE, 0)
    with pytest.raises(InvalidRequestError):
        await lease.release(redis_client, ADMISSION, "nobody")
