"""What a batch costs a server that cannot run it now: never a text a request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from redis.asyncio import Redis

from devkit.valkey import Valkey
from engine.core.ids import new_id
from engine.platform.valkey import keys, scripts
from engine.platform.valkey.batcher import Batcher
from engine.platform.valkey.codes import Code
from engine.platform.valkey.connections import connect, run_one
from engine.platform.valkey.errors import StoreUnavailableError
from engine.sale.commands import Commands
from engine.sale.inventory import publication
from tests.conservation import assert_conserved
from tests.houses import small_house
from tests.store.conftest import BODY, SHARD, key

STANDING = 3
REQUESTS = 64


class Stand(NamedTuple):
    client: Redis
    batcher: Batcher
    commands: Commands
    occurrence: str

    async def holds(self, *, quantity: int = 1, broken: int = 0) -> list[Any]:
        """Send a whole batch; the first ``broken`` requests are no requests."""
        place = keys.prefix(SHARD, self.occurrence)
        line = [STANDING, quantity, False, False]
        asked = [self.batcher.submit("hold_acquire", place, 5) for _ in range(broken)]  # type: ignore[arg-type]
        asked += [
            self.commands.acquire(place, new_id(), new_id(), key(), BODY, [line])
            for _ in range(REQUESTS - broken)
        ]
        answers: list[Any] = await asyncio.gather(*asked, return_exceptions=True)
        return answers

    async def calls(self) -> dict[str, int]:
        """Return how often each command was called since the last reset."""
        stats = await self.client.info("commandstats")
        return {name.removeprefix("cmdstat_"): of["calls"] for name, of in stats.items()}

    async def received(self) -> int:
        """Return the bytes that the server has been sent."""
        return int((await self.client.info("stats"))["total_net_input_bytes"])


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    server = await asyncio.to_thread(Valkey, tmp_path / "valkey")
    await asyncio.to_thread(server.start)
    client = connect(f"{server.url}/0")
    snapshot = small_house(max_per_order=100)
    await publication.publish(client, snapshot, shard=SHARD)
    batcher = Batcher(f"{server.url}/0", size_max=REQUESTS)
    await batcher.start()
    stand = Stand(client, batcher, Commands(batcher, batcher), snapshot.occurrence)
    await stand.holds(quantity=99)  # more than there are: now the server knows the script
    await client.config_resetstat()
    yield stand
    await batcher.stop()
    await assert_conserved(client, snapshot.occurrence)
    await client.aclose()
    await asyncio.to_thread(server.stop)


async def _no_memory(client: Redis) -> None:
    await client.config_set("maxmemory", "1")


async def _replica(client: Redis) -> None:
    await client.replicaof("127.0.0.1", 1)


async def _too_few_replicas(client: Redis) -> None:
    await client.config_set("min-replicas-to-write", "1")


@pytest.mark.parametrize("trouble", [_no_memory, _replica, _too_few_replicas])
@pytest.mark.parametrize("forgotten", [False, True])
async def test_a_batch_that_the_server_refuses_is_sent_once(
    stand: Stand, trouble: Any, forgotten: bool
) -> None:
    await trouble(stand.client)
    if forgotten:
        await stand.client.script_flush()
    await stand.client.config_resetstat()
    answers = await stand.holds()
    assert all(isinstance(answer, StoreUnavailableError) for answer in answers)
    calls, received = await stand.calls(), await stand.received()
    assert calls.get("eval", 0) == 0
    assert calls["evalsha"] <= 1 + forgotten
    assert calls.get("script|load", 0) <= forgotten
    text = len(scripts.SCRIPTS["hold_acquire"].text)
    assert received < text * (1 + forgotten) + REQUESTS * 500
    await stand.client.replicaof("NO", "ONE")
    await stand.client.config_set("maxmemory", "0")
    await stand.client.config_set("min-replicas-to-write", "0")
    assert {answer[0] for answer in await stand.holds()} == {Code.OK, Code.LINES}


async def test_a_forgotten_script_is_sent_once_for_a_whole_batch(stand: Stand) -> None:
    await stand.client.script_flush()
    assert {answer[0] for answer in await stand.holds()} == {Code.OK, Code.LINES}
    calls = await stand.calls()
    assert (calls.get("eval", 0), calls["script|load"], calls["evalsha"]) == (0, 1, 2)


async def test_a_batch_with_a_request_that_breaks_its_script_sends_no_text(stand: Stand) -> None:
    before = await stand.received()
    answers = await stand.holds(broken=2)
    assert [isinstance(answer, StoreUnavailableError) for answer in answers] == [True] * 2 + [
        False
    ] * (REQUESTS - 2)
    calls = await stand.calls()
    assert (calls.get("eval", 0), calls.get("script|load", 0)) == (0, 0)
    assert calls["evalsha"] <= 1 + REQUESTS
    assert await stand.received() - before < REQUESTS * 1000


async def test_a_single_call_sends_a_forgotten_script_once(stand: Stand) -> None:
    await stand.client.script_flush()
    await stand.client.config_resetstat()
    place = keys.prefix(SHARD, stand.occurrence)
    for _ in range(3):
        assert (await run_one(stand.client, "queue_open", place, [0]))[0] == Code.OK
    calls = await stand.calls()
    assert (calls.get("eval", 0), calls["script|load"], calls["evalsha"]) == (0, 1, 4)
