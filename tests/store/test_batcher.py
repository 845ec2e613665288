"""What the batcher promises when scripts vanish, callers go away and connections break."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import msgspec
import pytest
from redis.asyncio import Redis

from devkit.valkey import Valkey
from engine.core.ids import new_id
from engine.platform.valkey import keys
from engine.platform.valkey.batcher import Batcher
from engine.platform.valkey.codes import Code
from engine.platform.valkey.connections import connect
from engine.platform.valkey.errors import OverloadedError, StoreUnavailableError
from engine.sale.commands import Commands
from engine.sale.documents import Hold
from engine.sale.inventory import publication
from tests.conservation import assert_conserved
from tests.houses import small_house
from tests.store.conftest import BODY, SHARD, House, key

STANDING = 3


async def test_requests_that_arrive_together_share_a_flush(house: House) -> None:
    batcher = house.commands._submit.__self__  # type: ignore[attr-defined]
    await house.hold([STANDING, 1, False, False])
    flushes, requests = batcher.flushes, batcher.requests
    await asyncio.gather(*(house.acquire([STANDING, 1, False, False]) for _ in range(50)))
    assert batcher.requests - requests == 50
    assert batcher.flushes - flushes <= 2
    assert (await house.counter("quota:standing")).free == 0


async def test_scripts_are_loaded_again_when_the_server_forgets_them(
    house: House, redis_client: Redis
) -> None:
    await house.hold([STANDING, 1, False, False])
    await redis_client.script_flush()
    answers = await asyncio.gather(*(house.acquire([STANDING, 1, False, False]) for _ in range(5)))
    assert [answer[0] for answer in answers] == [Code.OK] * 5


async def test_a_request_that_breaks_its_script_fails_alone(house: House) -> None:
    # a request that is no list raises in Lua: the script changes nothing, the others go on
    submit = house.commands._submit
    bad = submit("hold_release", house.place, 5)  # type: ignore[arg-type]
    good = [house.acquire([STANDING, 1, False, False]) for _ in range(3)]
    spoiled = submit("hold_acquire", house.place, 5)  # type: ignore[arg-type]
    answers = await asyncio.gather(*good)
    assert [answer[0] for answer in answers] == [Code.OK] * 3
    for future in (bad, spoiled):
        with pytest.raises(StoreUnavailableError):
            await future


async def test_those_who_wait_in_line_do_not_fill_the_queue_of_those_inside(
    valkey_url: str,
) -> None:
    inside, crowd = (Batcher(f"{valkey_url}/0", queue_max=2) for _ in range(2))
    commands = Commands(inside, crowd)
    asked = [
        commands.queue_look("{s00}:x", "0" * 32, 0),
        commands.queue_join("{s00}:x", "0" * 32, b"x" * 16, []),
    ]
    with pytest.raises(OverloadedError):
        commands.queue_look("{s00}:x", "0" * 32, 0)
    asked.append(commands.release("{s00}:x", "0" * 32, "0" * 32))
    for batcher in (inside, crowd):
        await batcher.start()
    assert [(await answer)[0] for answer in asked] == [Code.NOT_PUBLISHED] * 3
    for batcher in (inside, crowd):
        await batcher.stop()


async def test_a_full_queue_is_refused_with_a_time_to_come_back(valkey_url: str) -> None:
    batcher = Batcher(f"{valkey_url}/0", size_max=10, queue_max=3)
    futures = [batcher.submit("read", "{s00}:x", ("h", "0" * 32, "")) for _ in range(3)]
    with pytest.raises(OverloadedError) as raised:
        batcher.submit("read", "{s00}:x", ("h", "0" * 32, ""))
    assert raised.value.retry_after_s == 1
    await batcher.start()
    assert [answer[0] for answer in await asyncio.gather(*futures)] == [Code.NOT_PUBLISHED] * 3
    await batcher.stop()


async def test_more_than_a_batch_is_sent_in_order(valkey_url: str, redis_client: Redis) -> None:
    snapshot = small_house(max_per_order=1000)
    await publication.publish(redis_client, snapshot, shard=SHARD)
    batcher = Batcher(f"{valkey_url}/0", size_max=4)
    commands = Commands(batcher, batcher)
    place = keys.prefix(SHARD, snapshot.occurrence)
    futures = [
        commands.acquire(place, new_id(), new_id(), key(), BODY, [[STANDING, 1, False, False]])
        for _ in range(13)
    ]
    await batcher.start()
    answers = await asyncio.gather(*futures)
    assert [answer[0] for answer in answers] == [Code.OK] * 10 + [Code.LINES] * 3
    await batcher.stop()


async def test_callers_that_go_away_neither_lose_nor_leak_and_no_reply_goes_astray(
    house: House,
) -> None:
    """One caller in ten is cancelled at a random moment; every reply is its own caller's."""
    dice = random.Random(1)  # noqa: S311 - a test's dice

    async def buyer(number: int) -> tuple[str, Hold] | None:
        name = new_id()
        answer = await house.acquire([STANDING, 1, False, False], buyer=name)
        if answer[0] != Code.OK:
            return None
        hold = msgspec.msgpack.decode(answer[1], type=Hold)
        await house.commands.release(house.place, name, hold.id)
        return name, hold

    for _ in range(30):
        tasks = [asyncio.create_task(buyer(number)) for number in range(20)]
        for task in tasks:
            if dice.random() < 0.1:
                await asyncio.sleep(0)
                task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, tuple):
                assert result[1].buyer == result[0]
            else:
                assert result is None or isinstance(result, asyncio.CancelledError)
        await house.assert_conserved()


async def test_a_killed_server_fails_the_waiting_and_serves_again_after(tmp_path: Path) -> None:
    server = await asyncio.to_thread(Valkey, tmp_path / "valkey")
    await asyncio.to_thread(server.start)
    try:
        client = connect(f"{server.url}/0")
        snapshot = small_house()
        await publication.publish(client, snapshot, shard=SHARD)
        await client.aclose()
        batcher = Batcher(f"{server.url}/0")
        await batcher.start()
        commands = Commands(batcher, batcher)
        place = keys.prefix(SHARD, snapshot.occurrence)
        held: list[Hold] = []

        async def acquire() -> None:
            answer = await commands.acquire(
                place, new_id(), new_id(), key(), BODY, [[STANDING, 1, False, False]]
            )
            held.append(msgspec.msgpack.decode(answer[1], type=Hold))

        await acquire()
        await asyncio.to_thread(server.kill)
        with pytest.raises(StoreUnavailableError):
            await acquire()
        await asyncio.to_thread(server.start)
        while True:
            try:
                await acquire()
                break
            except StoreUnavailableError:
                await asyncio.sleep(0.02)
        for hold in held:  # what was acknowledged is there
            answer = await commands.read(place, "h", hold.id, hold.buyer)
            assert answer[0] == Code.OK
        await batcher.stop()
        client = connect(f"{server.url}/0")
        await assert_conserved(client, snapshot.occurrence)
        await client.aclose()
    finally:
        await asyncio.to_thread(server.stop)


async def test_a_restart_of_the_server_is_not_noticed_by_idle_connections(tmp_path: Path) -> None:
    server = await asyncio.to_thread(Valkey, tmp_path / "valkey")
    await asyncio.to_thread(server.start)
    try:
        batcher = Batcher(f"{server.url}/0", size_max=1)
        await batcher.start()
        for _ in range(2):
            futures = [batcher.submit("read", "{s00}:x", ("h", "0" * 32, "")) for _ in range(200)]
            answers = await asyncio.gather(*futures)
            assert [answer[0] for answer in answers] == [Code.NOT_PUBLISHED] * 200
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
        await batcher.stop()
    finally:
        await asyncio.to_thread(server.stop)


async def test_stopping_fails_what_still_waits(valkey_url: str) -> None:
    batcher = Batcher(f"{valkey_url}/0")
    future = batcher.submit("read", "{s00}:x", ("h", "0" * 32, ""))
    await batcher.stop()
    with pytest.raises(StoreUnavailableError):
        await future
