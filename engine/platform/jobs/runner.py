"""Runs services side by side: one that fails is tried again and does not stop the others."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Final

import msgspec
from redis.exceptions import RedisError

from engine.core.errors import OnsaleError
from engine.platform.jobs import metrics
from engine.platform.jobs.errors import MustStopError
from engine.platform.jobs.periodic import Service

log = logging.getLogger(__name__)

PAUSE_S: Final = 0.1  # after a first failure; doubled with each further one
PAUSE_S_MAX: Final = 5.0  # so that a server that is back is used within seconds
STOP_S: Final = 6.0  # so that a process ends within 8 s of SIGTERM; supervisors leave it 10


class State(msgspec.Struct, kw_only=True):
    """How a service is doing. ``error``: of the last round, empty when it went well."""

    name: str
    rounds: int = 0
    failures: int = 0  # in a row
    error: str = ""
    stopped: bool = False


class Runner:
    """Runs ``services`` until it is told to stop."""

    def __init__(self, services: Sequence[Service]) -> None:
        self._services = services
        self.states = {service.name: State(name=service.name) for service in services}

    @property
    def ready(self) -> bool:
        """Whether every service has had its first round and none has given up."""
        return all(
            (state.rounds or state.failures) and not state.stopped for state in self.states.values()
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Run until ``stop`` is set, then let every service finish its round and stop."""
        tasks = [asyncio.create_task(self._run(service, stop)) for service in self._services]
        try:
            await stop.wait()
            _, late = await asyncio.wait(tasks, timeout=STOP_S)
            if late:
                log.warning("%d services did not finish in %.0f s", len(late), STOP_S)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, service: Service, stop: asyncio.Event) -> None:
        state = self.states[service.name]
        metrics.STOPPED.labels(service.name).set(0)
        try:
            while not stop.is_set() and not state.stopped:
                pause_s = await self._round(service, state)
                if pause_s:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(stop.wait(), pause_s)
                else:
                    await asyncio.sleep(0)
        finally:
            await service.stop()

    async def _round(self, service: Service, state: State) -> float:
        """Run one round and return for how many seconds to pause after it."""
        try:
            work = await service.run_once()
        except MustStopError as error:
            state.stopped, state.error = True, str(error)
            metrics.STOPPED.labels(service.name).set(1)
            log.critical("%s has stopped: %s", service.name, error)
            return 0.0
        except Exception as error:  # whatever it is, the others must go on
            state.failures += 1
            state.error = f"{type(error).__name__}: {error}"
            metrics.FAILURES.labels(service.name).inc()
            pause_s: float = min(PAUSE_S * 2 ** min(state.failures - 1, 10), PAUSE_S_MAX)
            expected = isinstance(error, (OnsaleError, RedisError, OSError))
            log.warning(
                "%s failed and is tried again in %.1f s: %s",
                service.name,
                pause_s,
                error,
                exc_info=None if expected else error,
                extra={"service": service.name, "failures": state.failures},
            )
            return pause_s
        if state.failures:
            log.info("%s works again after %d failures", service.name, state.failures)
        state.rounds += 1
        state.failures, state.error = 0, ""
        metrics.ROUNDS.labels(service.name).inc()
        metrics.WORK.labels(service.name).inc(work)
        return 0.0 if work else service.interval_s
