"""Ready is who can sell: a store that answers every read and refuses every write is none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from engine.app import health
from engine.platform.valkey.connections import connect
from engine.platform.valkey.writable import refuses_writes
from tests.http.running import Edge, Own, eventually


@pytest.fixture
async def client(own: Own) -> AsyncIterator[Redis]:
    async with connect(f"{own.server.url}/0") as made:
        yield made


async def oom(client: Redis, own: Own) -> None:
    del own
    await client.config_set("maxmemory", "1")


async def noreplicas(client: Redis, own: Own) -> None:
    del own
    await client.config_set("min-replicas-to-write", "1")


async def readonly(client: Redis, own: Own) -> None:
    del own
    await client.config_set("replica-serve-stale-data", "yes")
    await client.replicaof("127.0.0.1", 1)


async def misconf(client: Redis, own: Own) -> None:
    """A snapshot that cannot take its place on the disk."""
    await asyncio.to_thread(Path(own.server.data / "dump.rdb").mkdir)
    await client.config_set("save", "3600 1")
    await client.set("something", "to save")
    await client.bgsave()

    async def failed() -> bool:
        return bool((await client.info("persistence"))["rdb_last_bgsave_status"] == "err")

    await eventually(failed, 30)


CASES = {
    oom: "out of memory",
    noreplicas: "too few replicas",
    readonly: "is a replica",
    misconf: "cannot save to its disk",
}


@pytest.mark.parametrize("refuse", list(CASES), ids=lambda case: case.__name__)
async def test_a_store_that_refuses_writes_is_not_ready(
    own: Own, client: Redis, refuse: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_KEPT_S", 0.0)
    assert (await own.edge.call("GET", "/health/ready")).status == 200
    await refuse(client, own)  # type: ignore[operator] # it is one of the above
    answer = await own.edge.call("GET", "/health/ready")
    assert answer.status == 503
    assert answer.headers["Retry-After"]
    assert answer.json["status"] == "not_ready"
    assert answer.json["redis"] == "refusing"
    assert CASES[refuse] in answer.json["reason"]  # type: ignore[index] # the same
    assert (await own.edge.call("GET", "/health/live")).status == 200


async def test_it_is_ready_again_when_writes_are_taken_again(
    own: Own, client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_KEPT_S", 0.0)
    await oom(client, own)
    assert (await own.edge.call("GET", "/health/ready")).status == 503
    await client.config_set("maxmemory", "0")
    answer = await own.edge.call("GET", "/health/ready")
    assert answer.status == 200
    assert "reason" not in answer.json


async def test_a_user_who_may_not_write_is_told_apart(own: Own, client: Redis) -> None:
    await client.acl_setuser("default", commands=["+@all", "-set"])
    assert await refuses_writes(client) == "this user may not write"


async def test_many_who_ask_at_once_are_one_write(edge: Edge) -> None:
    before = (await edge.redis.info("commandstats")).get("cmdstat_set", {"calls": 0})["calls"]
    answers = await asyncio.gather(*(edge.call("GET", "/health/ready") for _ in range(40)))
    assert {answer.status for answer in answers} == {200}
    after = (await edge.redis.info("commandstats"))["cmdstat_set"]["calls"]
    assert after - before <= 2
    assert 0 < await edge.redis.ttl("onsale:writable") <= 60
