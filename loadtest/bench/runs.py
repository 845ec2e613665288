"""One run of wrk against a server, checked by what the server says, and the runs of all rounds."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import median
from typing import NamedTuple

import aiohttp

from devkit.parts import Service
from engine.core.settings import Settings
from loadtest.bench import echo, servers, wrk
from loadtest.checks import CheckError

_COUNT = re.compile(
    r'^onsale_http_requests_total\{route="(\w+)",status="(\d+)"\} (\S+)$', re.MULTILINE
)
_BATCHES = re.compile(r"^onsale_batch_(commands|flushes)_total (\S+)$", re.MULTILINE)


class Run(NamedTuple):
    """``cpu_us``: of the server, a request. ``batch``: commands a flush."""

    requests: int
    rate: float  # requests a second
    cpu_us: float
    batch: float = 0.0


class Runs:
    """The runs of all rounds, by what was run."""

    def __init__(self) -> None:
        self._runs: dict[str, list[Run]] = {}

    def add(self, name: str, run: Run) -> None:
        """Note a run."""
        self._runs.setdefault(name, []).append(run)

    def rates(self, name: str) -> list[float]:
        """Return the requests a second of each round."""
        return [run.rate for run in self._runs[name]]

    def cpu_us(self, name: str) -> float:
        """Return the median of the rounds' CPU a request."""
        return median(run.cpu_us for run in self._runs[name])

    def batch(self, name: str) -> float:
        """Return the median of the rounds' commands a flush."""
        return median(run.batch for run in self._runs[name])


class Expected(NamedTuple):
    """Every request must be one of this route (its name in the metrics), answered with this."""

    route: str
    status: int


async def load(url: str, occurrence: str) -> None:
    """Let the API load an occurrence, which it does at the first request for it."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{url}/v1/occurrences/{occurrence}") as response,
    ):
        response.raise_for_status()


async def echoed(service: Service, file: Path, seconds: float) -> Run:
    """Send the requests of a file to the echo. Raises :class:`CheckError`, ``WrkError``."""
    cpu = servers.cpu_s(service.pid)
    summary = await wrk.run(f"http://127.0.0.1:{service.port}", file, seconds, path=echo.PATH)
    if summary.refused or summary.broken:
        raise CheckError(f"the echo refused {summary.refused}, broke {summary.broken} requests")
    cpu = servers.cpu_s(service.pid) - cpu
    return Run(summary.requests, summary.rate, cpu / summary.requests * 1e6)


async def answered(
    settings: Settings, pid: int, expected: Expected, file: Path, seconds: float
) -> Run:
    """Send the requests of a file to an API process, which counts its answers.

    Raises :class:`CheckError` unless all are as expected, ``WrkError``.
    """
    port = settings.api_metrics_port
    before, cpu = await _counts(port, expected.route), servers.cpu_s(pid)
    summary = await wrk.run(settings.public_url, file, seconds)
    cpu = servers.cpu_s(pid) - cpu
    after = await _counts(port, expected.route)
    got = {name: after[name] - before.get(name, 0.0) for name in after}
    commands, flushes = got.pop("commands", 0.0), got.pop("flushes", 0.0)
    other = {name: int(n) for name, n in got.items() if n and name != str(int(expected.status))}
    if other or summary.broken:
        raise CheckError(
            f"every answer must be {int(expected.status)}; there were {other},"
            f" and {summary.broken} requests without an answer"
        )
    cost = cpu / summary.requests * 1e6
    return Run(summary.requests, summary.rate, cost, commands / max(flushes, 1.0))


async def _counts(port: int, route: str) -> dict[str, float]:
    """Return what the API says of itself: answers of a route by status, commands and flushes."""
    url = f"http://127.0.0.1:{port}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        text = await response.text()
    found = {status: float(n) for name, status, n in _COUNT.findall(text) if name == route}
    return found | {name: float(n) for name, n in _BATCHES.findall(text)}
