"""Two real workers: the one that lets people in is killed, and the other goes on."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from engine.core.ids import new_id
from engine.core.tasks import end
from engine.queue.admission.edge_reports import Pulse, report_pulse
from tests.persist.conftest import connecting_may_block, until
from tests.workers.test_admission import Hall, hall
from tests.workers.test_worker_process import StartWorker, Worker, start_worker

__all__ = ["connecting_may_block", "hall", "start_worker"]

NO_POSTGRES = "postgresql://postgres@127.0.0.1:1/onsale"  # so that all records stay to be counted
PLACES = 400


@pytest.fixture
async def edge(redis_client: Redis) -> AsyncIterator[None]:
    """An edge that is well for as long as the test runs."""

    async def beat() -> None:
        process = new_id()
        while True:
            await report_pulse(redis_client, Pulse(process=process))
            await asyncio.sleep(0.5)

    task = asyncio.create_task(beat())
    yield
    await end(task)


async def gauge(worker: Worker, name: str) -> float:
    _, text = await worker.get("/metrics")
    found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else -1.0


async def test_the_leader_is_killed_and_the_other_goes_on(
    hall: Hall, edge: None, start_worker: StartWorker
) -> None:
    await hall.publish(rate=20, rate_ms=1_000, cap=PLACES)
    await hall.join(PLACES)
    workers = [start_worker(DATABASE_URL=NO_POSTGRES) for _ in range(2)]

    async def moves(beyond: int) -> bool:
        return (await hall.state()).queue.served > beyond

    await until(lambda: moves(10))
    (leader,) = [one for one in workers if await gauge(one, "onsale_admission_leader") == 1]
    (other,) = [one for one in workers if one is not leader]
    assert await gauge(other, "onsale_admission_leader") == 0
    assert await gauge(leader, "onsale_admission_fence") == 1
    assert await leader.end(signal.SIGKILL) == -signal.SIGKILL
    killed = await hall.state()
    await until(lambda: moves(killed.queue.served + 20))
    resumed = await hall.state()
    assert await gauge(other, "onsale_admission_fence") == 2
    calls = await hall.calls()  # nobody twice, nobody left out
    took_ms = resumed.now_ms - killed.now_ms
    assert resumed.queue.served - killed.queue.served <= 20 * took_ms / 1_000 + 20
    assert max(last - first + 1 for first, last in calls) <= 20
    assert await other.end(signal.SIGTERM) == 0
    third = start_worker(DATABASE_URL=NO_POSTGRES)
    await until(lambda: moves(resumed.queue.served + 20))
    assert await gauge(third, "onsale_admission_fence") == 3
    await hall.calls()
