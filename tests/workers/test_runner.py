from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
import pytest

from engine.app.worker_endpoint import endpoint
from engine.platform.jobs import runner as runner_module
from engine.platform.jobs.errors import MustStopError
from engine.platform.jobs.periodic import Periodic
from engine.platform.jobs.runner import Runner


class Work:
    """A service that does what a test tells it: a number, or an error, a round."""

    def __init__(self, name: str, *steps: int | Exception, interval_s: float = 0.001) -> None:
        self.name = name
        self.interval_s = interval_s
        self.steps = list(steps)
        self.rounds = 0
        self.stopped = False
        self._changed = asyncio.Condition()

    async def run_once(self) -> int:
        assert not self.stopped
        self.rounds += 1
        async with self._changed:
            self._changed.notify_all()
        step = self.steps.pop(0) if self.steps else 0
        if isinstance(step, Exception):
            raise step
        return step

    async def stop(self) -> None:
        self.stopped = True

    async def until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(reached)


@asynccontextmanager
async def running(*services: Work) -> AsyncIterator[Runner]:
    runner = Runner(services)
    stop = asyncio.Event()
    task = asyncio.create_task(runner.run(stop))
    try:
        yield runner
    finally:
        stop.set()
        await task


async def test_every_service_runs_and_is_stopped_at_the_end() -> None:
    first, second = Work("first", 1, 2), Work("second")
    async with running(first, second) as runner:
        await first.until(lambda: first.rounds >= 5)
        await second.until(lambda: second.rounds >= 5)
        assert runner.ready
    assert first.stopped
    assert second.stopped


async def test_one_that_fails_is_tried_again_and_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runner_module, "PAUSE_S", 0.0001)
    bad, good = Work("bad", *[RuntimeError("broken")] * 8), Work("good")
    with caplog.at_level(logging.INFO):
        async with running(bad, good) as runner:
            await bad.until(lambda: bad.rounds >= 8)
            rounds = good.rounds
            await good.until(lambda: good.rounds > rounds)
            await bad.until(lambda: bad.rounds >= 10)
            assert runner.states["bad"].failures == 0
    assert "broken" in caplog.text
    assert "Traceback" in caplog.text  # nobody expected it
    assert "works again after 8 failures" in caplog.text


async def test_the_pause_after_failures_grows_and_is_bounded() -> None:
    service = Work("s", *[OSError("away")] * 12)
    runner = Runner([service])
    state = runner.states["s"]
    pauses = [await runner._round(service, state) for _ in range(12)]
    assert pauses[:4] == [0.1, 0.2, 0.4, 0.8]
    assert max(pauses) == runner_module.PAUSE_S_MAX
    assert await runner._round(service, state) == service.interval_s


async def test_after_work_there_is_no_pause() -> None:
    service = Work("s", 5, 0, interval_s=7.0)
    runner = Runner([service])
    assert await runner._round(service, runner.states["s"]) == 0.0
    assert await runner._round(service, runner.states["s"]) == 7.0


async def test_one_that_must_stop_stops_loudly_and_the_others_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    done, good = Work("done", MustStopError("look at it")), Work("good")
    async with running(done, good) as runner, endpoint(runner, 0) as port:
        await done.until(lambda: done.rounds == 1)
        rounds = good.rounds
        await good.until(lambda: good.rounds > rounds + 3)
        assert (done.rounds, done.stopped) == (1, True)
        assert not runner.ready
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port}/health/ready") as response,
        ):
            assert response.status == 503
            body = await response.json()
            states = {service["name"]: service["status"] for service in body["services"]}
            assert states == {"done": "stopped", "good": "ok"}
            assert "look at it" in str(body)
    assert "CRITICAL" in caplog.text
    assert "look at it" in caplog.text


async def test_it_is_ready_once_every_service_had_a_round() -> None:
    runner = Runner([Work("a"), Work("b")])
    assert not runner.ready
    await runner._round(runner._services[0], runner.states["a"])
    assert not runner.ready
    await runner._round(runner._services[1], runner.states["b"])
    assert runner.ready


async def test_a_round_that_does_not_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner_module, "STOP_S", 0.01)
    started = asyncio.Event()

    async def hang() -> int:
        started.set()
        await asyncio.Event().wait()
        return 0

    runner = Runner([Periodic("hangs", 0.0, hang)])
    stop = asyncio.Event()
    task = asyncio.create_task(runner.run(stop))
    await started.wait()
    stop.set()
    await asyncio.wait_for(task, 20)


async def test_metrics_and_health_are_served_and_a_taken_port_is_an_error() -> None:
    async with running(Work("a", 3)) as runner, endpoint(runner, 0) as port:
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/metrics") as response:
                text = await response.text()
                assert 'onsale_service_work_total{service="a"}' in text
            async with session.get(f"http://127.0.0.1:{port}/health/live") as response:
                assert response.status == 200
        with pytest.raises(OSError, match="in use"):
            async with endpoint(runner, port):
                pass
