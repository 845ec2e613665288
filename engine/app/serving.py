"""The HTTP server process: one, or several that share a port (SO_REUSEPORT).

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
import socket
import time
from collections import deque
from collections.abc import Iterator
from multiprocessing.connection import wait
from multiprocessing.context import ForkProcess
from types import FrameType

import uvloop
from aiohttp import web

from engine.app.api import make_app, make_metrics
from engine.app.assembly import make_runner as make_plain_runner
from engine.app.assembly import rules_of
from engine.app.control import make_control_app
from engine.app.metrics import make_metrics_app
from engine.core.settings import Settings
from engine.platform.gc_thresholds import look_seldom
from engine.platform.http.connections import Runner
from engine.platform.http.fast_path.connection import HotRunner
from engine.platform.http.state import METRICS, SETTINGS
from engine.platform.open_files import raise_open_files
from engine.platform.telemetry.http_metrics import Metrics
from engine.platform.telemetry.logs import configure_logs

_BACKLOG = 4_096  # connections that wait to be accepted: an on-sale opens thousands in a second
# From SIGTERM on, after which a process that is stuck is ended by the kernel; supervisors wait 10 s
_END_S = 7.5
_RESTARTS_MAX = 5  # in _RESTARTS_WITHIN_S: more is no accident, so the whole ends with an error
_RESTARTS_WITHIN_S = 60.0

_log = logging.getLogger(__name__)


def make_runner(app: web.Application, *, shutdown_timeout_s: float | None = None) -> Runner:
    """Return the runner of the application that buyers use.

    ``shutdown_timeout_s``: another one than that of the settings.
    """
    settings = app[SETTINGS]
    stop_s = settings.http_stop_s if shutdown_timeout_s is None else shutdown_timeout_s
    return HotRunner(app, rules_of(settings, app[METRICS]), shutdown_timeout_s=stop_s)


@contextlib.contextmanager
def ending() -> Iterator[None]:
    """Let the kernel end this process when what is done in here takes too long."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, _END_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


async def serve_control(settings: Settings) -> None:
    """Serve the control API until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    runner = make_plain_runner(make_control_app(settings))
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.control_host, settings.control_port).start()
        address = f"{settings.control_host}:{settings.control_port}"
        _log.info("serving the control API", extra={"address": address})
        await stop.wait()
    finally:
        with ending():
            await runner.cleanup()


def run_control(settings: Settings) -> None:
    """Serve the control API until told to stop."""
    configure_logs()
    raise_open_files()
    look_seldom()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve_control(settings))


async def serve(
    settings: Settings,
    metrics: Metrics,
    leash: int | None = None,
    scraped: socket.socket | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; then finish what is under way, close sockets and return.

    ``leash``: a file descriptor that becomes readable when the parent process is gone;
    ``scraped``: listens for those who read metrics.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if leash is not None:
        loop.add_reader(leash, stop.set)
    runner = make_runner(make_app(settings, metrics))
    await runner.setup()
    beside = make_plain_runner(make_metrics_app(settings, metrics))
    await beside.setup()
    try:
        if scraped is not None:
            await web.SockSite(beside, scraped).start()
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
        with ending():
            await runner.cleanup()
            await beside.cleanup()


def run(settings: Settings, processes: int) -> int:
    """Serve with so many processes until told to stop. Returns the exit code."""
    configure_logs()
    _log.info("open files", extra={"most": raise_open_files()})
    metrics = make_metrics(processes)
    scraped = _listen_to_scrapers(settings)
    if processes == 1:
        _run_loop(settings, metrics, None, scraped)
        return 0
    return Family(settings, metrics, processes, scraped).run()


def _listen_to_scrapers(settings: Settings) -> socket.socket | None:
    """Return the socket that all processes of the API share; None: there is to be none.

    A sale does not stay closed because nobody can read its metrics.
    """
    if not settings.api_metrics_port:
        return None
    host, port = settings.metrics_host, settings.api_metrics_port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        _log.error(
            "metrics are not served: set ONSALE_API_METRICS_PORT to a free port, or 0",
            extra={"address": f"{host}:{port}", "reason": error.strerror},
        )
        return None


def _run_loop(
    settings: Settings, metrics: Metrics, leash: int | None, scraped: socket.socket | None
) -> None:
    look_seldom()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings, metrics, leash, scraped))


class Family:
    """The parent of several serving processes: replaces those that die, stops them all together.

    The children hold the reading end of a pipe whose writing end only the parent
    has, so they notice when it is gone, however it went.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        processes: int,
        scraped: socket.socket | None = None,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._scraped = scraped
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
        _run_loop(self._settings, self._metrics, self._leash, self._scraped)

    def _stop(self, number: int = signal.SIGTERM, frame: FrameType | None = None) -> None:
        del number, frame
        self._stopping = True
        for child in list(self._children.values()):
            with contextlib.suppress(ProcessLookupError):
                if child.pid is not None:
                    os.kill(child.pid, signal.SIGTERM)
