"""Serves the application: one process, or several on one port among which the kernel chooses.

Handlers are not cancelled when their client goes away (``handler_cancellation``
off): a hold that is under way is made and remembered under its key, so the
buyer who comes back gets it, and nothing is left half done.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import signal
import time
from collections import deque
from multiprocessing.connection import wait
from multiprocessing.context import ForkProcess
from types import FrameType

import uvloop
from aiohttp import web

from engine.core.garbage import look_seldom
from engine.core.logs import configure_logs
from engine.http.app import make_app, make_metrics
from engine.http.control_app import make_control_app
from engine.http.hot import HotServer
from engine.http.metrics import Metrics
from engine.settings import Settings

_BACKLOG = 4_096  # connections that wait to be accepted: an on-sale opens thousands in a second
_KEEP_ALIVE_S = 75.0  # longer than the 60 s of usual proxies, so that they close first
_GRACE_S = 5.0  # on top of the longest call to the payment provider
_RESTARTS_MAX = 5  # in _RESTARTS_WITHIN_S: more is no accident, so the whole ends with an error
_RESTARTS_WITHIN_S = 60.0

_log = logging.getLogger(__name__)


class _Runner(web.AppRunner):
    """Serves an application with the lean way (:mod:`engine.http.hot`) for hot requests."""

    async def _make_server(self) -> web.Server:
        return HotServer(await super()._make_server(), self.app)


def make_runner(app: web.Application, *, shutdown_timeout_s: float = 60.0) -> web.AppRunner:
    """Return the runner of an application, with everything decided that aiohttp leaves open."""
    return _Runner(
        app,
        handler_cancellation=False,
        access_log=None,
        keepalive_timeout=_KEEP_ALIVE_S,
        shutdown_timeout=shutdown_timeout_s,
    )


async def serve_control(settings: Settings) -> None:
    """Serve the control API until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    runner = web.AppRunner(
        make_control_app(settings),
        handler_cancellation=False,
        access_log=None,
        shutdown_timeout=_GRACE_S,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.control_host, settings.control_port).start()
        address = f"{settings.control_host}:{settings.control_port}"
        _log.info("serving the control API", extra={"address": address})
        await stop.wait()
    finally:
        await runner.cleanup()


def run_control(settings: Settings) -> None:
    """Serve the control API until told to stop."""
    configure_logs()
    look_seldom()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve_control(settings))


async def serve(settings: Settings, metrics: Metrics, leash: int | None = None) -> None:
    """Serve until SIGTERM or SIGINT; then finish what is under way, close sockets and return.

    ``leash``: a file descriptor that becomes readable when the parent process is gone.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if leash is not None:
        loop.add_reader(leash, stop.set)
    runner = make_runner(
        make_app(settings, metrics), shutdown_timeout_s=settings.provider_timeout_s + _GRACE_S
    )
    await runner.setup()
    try:
        site = web.TCPSite(
            runner, settings.api_host, settings.api_port, backlog=_BACKLOG, reuse_port=True
        )
        await site.start()
        _log.info("serving", extra={"address": f"{settings.api_host}:{settings.api_port}"})
        await stop.wait()
        _log.info("stopping")
    finally:
        if leash is not None:
            loop.remove_reader(leash)
        await runner.cleanup()


def run(settings: Settings, processes: int) -> int:
    """Serve with so many processes until told to stop. Returns the exit code."""
    configure_logs()
    metrics = make_metrics(processes)
    if processes == 1:
        _run_loop(settings, metrics, None)
        return 0
    return Family(settings, metrics, processes).run()


def _run_loop(settings: Settings, metrics: Metrics, leash: int | None) -> None:
    look_seldom()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings, metrics, leash))


class Family:
    """The parent of several serving processes: replaces those that die, stops them all together.

    The children hold the reading end of a pipe whose writing end only the parent
    has, so they notice when it is gone, however it went.
    """

    def __init__(self, settings: Settings, metrics: Metrics, processes: int) -> None:
        self._settings = settings
        self._metrics = metrics
        self._leash, self._held = os.pipe()
        self._context = multiprocessing.get_context("fork")
        self._children: dict[int, ForkProcess] = {}
        self._count = processes
        self._stopping = False
        self._restarts: deque[float] = deque(maxlen=_RESTARTS_MAX)

    def run(self) -> int:
        """Serve until told to stop. Returns the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        for index in range(self._count):
            self._start(index)
        code = 0
        while self._children:
            wait([child.sentinel for child in self._children.values()])
            for index, child in list(self._children.items()):
                if child.is_alive():
                    continue
                child.join()
                del self._children[index]
                if not self._stopping and code == 0:
                    code = self._replace(index, child)
        return code

    def _replace(self, index: int, dead: ForkProcess) -> int:
        now = time.monotonic()
        _log.error("a process ended", extra={"child": index, "exit_code": dead.exitcode})
        if len(self._restarts) == _RESTARTS_MAX and now - self._restarts[0] < _RESTARTS_WITHIN_S:
            _log.error("processes end again and again: see the errors above")
            self._stop()
            return 1
        self._restarts.append(now)
        self._start(index)
        return 0

    def _start(self, index: int) -> None:
        child = self._context.Process(target=self.serve, args=(index,), name=f"api-{index}")
        child.start()
        self._children[index] = child

    def serve(self, index: int) -> None:
        """Be the ``index``-th child; returns when it is to end."""
        os.close(self._held)
        self._metrics.attach(index)
        _run_loop(self._settings, self._metrics, self._leash)

    def _stop(self, number: int = signal.SIGTERM, frame: FrameType | None = None) -> None:
        del number, frame
        self._stopping = True
        for child in list(self._children.values()):
            with contextlib.suppress(ProcessLookupError):
                if child.pid is not None:
                    os.kill(child.pid, signal.SIGTERM)
