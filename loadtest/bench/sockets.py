"""The live line: what an idle socket costs, and what it takes to tell all of them."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import ClassVar

from devkit.parts import Service
from devkit.processes import free_port
from engine.core.ids import new_id
from engine.core.settings import Settings
from engine.platform.http.websocket.tickets import LiveTickets
from engine.queue.draw import numbers as draw
from engine.sale.inventory import publication
from loadtest.bench import servers
from loadtest.bench.audience import Audience, audience
from loadtest.bench.context import Context, make_settings
from loadtest.bench.line import BenchLine, line_snapshot
from loadtest.bench.results import Figure, Ratio
from loadtest.bench.runs import load
from loadtest.checks import CheckError

_SEATS = 6_000  # do not matter here
_AHEAD = 1_000  # places in front of all who listen: these are called
_WAVES = 5  # broadcasts a round
_QUIET_S = 1.5  # between two, longer than a feed rests after one
_SETTLE_S = 3.0
_DESCRIPTORS = 1_024  # that a process needs beside those of its sockets
_FEW = 10  # sockets that are open before the memory of the others is measured


class SocketsBench:
    """``sockets``: memory of an idle one, a broadcast over bare writes, the last one told."""

    name: ClassVar = "sockets"

    async def run(self, context: Context) -> None:
        """Measure."""
        count = context.options.sockets
        _allow_descriptors(count + _DESCRIPTORS)
        async with context.valkey("sockets") as (valkey, client):
            snapshot = line_snapshot(_SEATS)
            await publication.publish(client, snapshot, shard=0)
            line = BenchLine(client, snapshot, 0)
            behind = await _fill(context, line, count + _FEW)
            settings = make_settings(valkey)
            api = servers.api(
                servers.environment(settings), settings.api_port, context.log("sockets-api")
            )
            async with context.running(api, core=servers.API_CORE):
                await load(settings.public_url, line.occurrence)
                await self._measure(context, settings, line, api, behind)

    async def _measure(
        self, context: Context, settings: Settings, line: BenchLine, api: Service, behind: list[str]
    ) -> None:
        count, port = len(behind) - _FEW, settings.api_port
        tickets = LiveTickets(settings.token_secret)

        def paths(buyers: Sequence[str]) -> list[str]:
            place = f"/v1/occurrences/{line.occurrence}/queue/live?ticket="
            return [place + tickets.issue(buyer, line.occurrence) for buyer in buyers]

        few = context.directory / "few", context.directory / "frame"
        async with audience(port, paths(behind[:_FEW]), few[0]) as first:
            frame = (await first.tell(1, partial(line.call, 1))).frame
            await asyncio.sleep(_SETTLE_S)
            before = _resident_kib(api.pid)
            context.say(f"sockets: opening {count:,}")
            async with audience(
                port, paths(behind[_FEW:]), context.directory / "many"
            ) as listeners:
                await asyncio.sleep(_SETTLE_S)
                after = _resident_kib(api.pid)
                context.results.ratios.append(_memory((after - before) / count, count))
                async with _bare(context, frame, count) as (bare, theirs):
                    waves = Waves(line, api.pid, listeners)
                    ours, limit = [], []
                    for number in range(context.options.rounds + 1):
                        context.say(f"sockets: round {number} of {context.options.rounds}")
                        found = (
                            await waves.ours(),
                            await waves.limit(bare, theirs),
                        )
                        if number:  # the first one warms up
                            ours.append(found[0])
                            limit.append(found[1])
        _report(context, ours, limit, waves.told, count)


class Waves:
    """Broadcasts, some in a row; ``told``: seconds from a call to the last one told."""

    def __init__(self, line: BenchLine, pid: int, listeners: Audience) -> None:
        self.told: list[float] = []
        self._line = line
        self._pid = pid
        self._listeners = listeners

    async def ours(self) -> float:
        """Call one after the other; return writes a second of the API's CPU time.

        Its time counts from before a call until the last was told.
        """
        frames, cpu = 0, 0.0
        for _ in range(_WAVES):
            serving = (await self._line.state()).queue.served + 1
            began = called_at = 0.0

            async def call() -> None:
                nonlocal began, called_at
                began = _cpu_s(self._pid)
                await self._line.call(1)
                called_at = time.monotonic()

            told = await self._listeners.tell(serving, call)
            cpu += _cpu_s(self._pid) - began
            frames += told.frames
            self.told.append(told.last - called_at)
            await asyncio.sleep(_QUIET_S)
        return frames / cpu

    async def limit(self, bare: Service, theirs: Audience) -> float:
        """Let the bare server write as often; return writes a second of its CPU time."""
        frames, cpu = 0, _cpu_s(bare.pid)

        async def write() -> None:
            os.kill(bare.pid, signal.SIGUSR1)

        for _ in range(_WAVES):
            frames += (await theirs.tell(1, write)).frames
        return frames / (_cpu_s(bare.pid) - cpu)


async def _fill(context: Context, line: BenchLine, count: int) -> list[str]:
    """Let so many more join than are called here, draw, and return the last ``count`` in line."""
    buyers = [new_id() for _ in range(count + _AHEAD)]
    await line.join(((buyer, ()) for buyer in buyers), len(buyers), lambda _: None)
    n, _ = await line.draw()
    key = await line.key()
    context.say(f"sockets: {n:,} are in line")
    return [buyer for at, buyer in enumerate(buyers) if draw.number(key, n, at) > _AHEAD]


@asynccontextmanager
async def _bare(
    context: Context, frame: bytes, count: int
) -> AsyncIterator[tuple[Service, Audience]]:
    """Give the bare server with as many connections, and those."""
    file, port = context.directory / "frame", free_port()
    file.write_bytes(frame)
    bare = Service(
        "bare",
        "loadtest.bench.bare",
        [str(port), str(file)],
        port=port,
        path="/health",
        log=context.log("bare"),
        environment=dict(os.environ),
    )
    async with (
        context.running(bare, core=servers.API_CORE),
        audience(port, [""] * count, context.directory / "bares") as theirs,
    ):
        yield bare, theirs


def _allow_descriptors(count: int) -> None:
    """Let this process, and those it starts, have so many open files.

    Raises :class:`CheckError` when the system does not allow it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count:
        raise CheckError(f"{count:,} open files are needed, {hard:,} are allowed: ulimit -Hn")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))


def _resident_kib(pid: int) -> int:
    """Return the memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise CheckError(f"the memory of process {pid} cannot be read")


def _cpu_s(pid: int) -> float:
    """Return the CPU time of the main thread, more exactly than ``servers.cpu_s``."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def _memory(kib: float, count: int) -> Ratio:
    return Ratio(
        name="socket_kib",
        title=f"memory of the API per idle socket, {count:,} of them",
        limit_title="one KiB",
        unit="KiB",
        measured=[kib],
        limit=[1.0],
        must=18,
        aim=14,
        at_most=True,
        excludes="the kernel's buffers of a connection; TLS, which the proxy in front has",
    )


def _report(
    context: Context, ours: list[float], limit: list[float], told: list[float], count: int
) -> None:
    context.results.ratios.append(
        Ratio(
            name="broadcast_over_bare",
            title=f"a broadcast to {count:,} sockets, writes a second of CPU",
            limit_title="the same bytes written to as many bare transports",
            unit="writes/s",
            measured=ours,
            limit=limit,
            must=0.6,
            aim=0.9,
            excludes="what it costs to have the sockets while nothing is told: pings, and reading"
            " the line four times a second",
        )
    )
    context.results.figures += [
        Figure(
            name="last_told",
            title=f"serving moved to the last of {count:,} told",
            value=median(told) * 1000,
            unit="ms",
            note=f"median of {len(told)}, at most {max(told) * 1000:.0f} ms; the line is read"
            f" every {Settings().live_interval_ms} ms; all listeners are one process, on the other"
            " core",
        ),
    ]
