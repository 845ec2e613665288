"""Joining the line and asking for one's place over HTTP, against a bare echo.

API and echo on one core, Valkey and wrk on the other, in turns.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from statistics import median
from typing import ClassVar

from engine.core.ids import new_id
from engine.core.settings import Settings
from engine.core.tokens import TokenSigner
from engine.queue.gate.proof_of_work import proof_keys
from engine.sale.inventory import publication
from loadtest.bench import requests, servers, wrk
from loadtest.bench.context import Context, make_settings
from loadtest.bench.line import BenchLine, line_snapshot
from loadtest.bench.results import Figure, Ratio
from loadtest.bench.runs import Expected, Run, Runs, answered, echoed, load
from loadtest.checks import CheckError

_JOINED = Expected("join_queue", HTTPStatus.OK)
_ASKED = Expected("read_place", HTTPStatus.OK)
_SHARE = 5  # of the places of the other benchmark, so many are in the line that is asked about
_ASKERS = 20_000  # of them, anywhere in it; their tokens are known after the first round
_ROOM = 1.5  # requests made for a run, over what the fastest one so far would have taken
_TRIES_MAX = 4
_EXCLUDES = "one API process; the worker and TLS"


class QueueBench:
    """``queue``: joins and polls over the echo, from the same rounds."""

    name: ClassVar = "queue"

    async def run(self, context: Context) -> None:
        """Measure."""
        runs = Runs()
        service = servers.echo(context.log("echo"))
        joining, asked = (line_snapshot(context.options.seats) for _ in range(2))
        async with context.valkey("queue") as (valkey, client):
            for shard, snapshot in enumerate((joining, asked)):
                await publication.publish(client, snapshot, shard=shard)
            buyers = [new_id() for _ in range(context.options.places // _SHARE)]
            line = BenchLine(client, asked, 1)
            context.say(f"queue: {len(buyers):,} buyers join the line that is asked about")
            await line.join(((buyer, ()) for buyer in buyers), len(buyers), lambda _: None)
            await line.draw()
            askers = random.Random(0).sample(buyers, min(_ASKERS, len(buyers)))  # noqa: S311 - the order of a test
            settings = make_settings(valkey)
            api = servers.api(
                servers.environment(settings), settings.api_port, context.log("queue-api")
            )
            async with (
                context.running(api, core=servers.API_CORE),
                context.running(service, core=servers.API_CORE),
            ):
                for snapshot in (joining, asked):
                    await load(settings.public_url, snapshot.occurrence)
                joins = Joins(context, settings, BenchLine(client, joining, 0), api.pid)
                polls = Polls(context, settings, asked.occurrence, askers, api.pid)
                for number in range(context.options.rounds + 1):
                    context.say(f"queue: round {number} of {context.options.rounds}")
                    found = {
                        "join": await joins.run(),
                        "join echo": await echoed(service, joins.file, context.options.seconds),
                        "poll": await polls.run(),
                        "poll echo": await echoed(service, polls.file, context.options.seconds),
                    }
                    if number:  # the first one warms up, and the askers' tokens are known after it
                        for name, one in found.items():
                            runs.add(name, one)
        _report(context, runs)


class Joins:
    """Runs of joins, each request another buyer's."""

    def __init__(self, context: Context, settings: Settings, line: BenchLine, pid: int) -> None:
        self.file: Path = context.directory / "joins"
        self._context = context
        self._settings = settings
        self._line = line
        self._pid = pid
        self._rate_max = 10_000.0
        signer = TokenSigner(settings.token_secret)
        keys = proof_keys(settings.token_secret)
        self._wanted: Iterator[requests.Request] = requests.joins(line.occurrence, signer, keys)

    async def run(self) -> Run:
        """Let as many join as can. Raises :class:`CheckError` when a place is lost or doubled."""
        seconds = self._context.options.seconds
        for _ in range(_TRIES_MAX):
            count = requests.write(self.file, self._wanted, int(self._rate_max * seconds))
            before = await self._line.places()
            run = await answered(self._settings, self._pid, _JOINED, self.file, seconds)
            joined = await self._line.places() - before
            if run.requests + wrk.CONNECTIONS <= count:
                if joined < run.requests:
                    raise CheckError(f"{run.requests} joined, and {joined} of them have a place")
                return run
            # some joined twice, which costs less: measure again with more of them
            self._rate_max = max(self._rate_max, run.rate) * _ROOM
        raise CheckError(f"{count} requests were not enough for {run.requests} answers")


class Polls:
    """Runs of questions for places, in the same order again and again."""

    def __init__(
        self, context: Context, settings: Settings, occurrence: str, askers: list[str], pid: int
    ) -> None:
        self.file: Path = context.directory / "polls"
        self._seconds = context.options.seconds
        self._settings = settings
        self._pid = pid
        wanted = requests.polls(occurrence, askers, TokenSigner(settings.token_secret))
        requests.write(self.file, wanted, len(askers))

    async def run(self) -> Run:
        """Ask as often as can be."""
        return await answered(self._settings, self._pid, _ASKED, self.file, self._seconds)


def _report(context: Context, runs: Runs) -> None:
    waiting = context.options.places // _SHARE
    context.results.ratios += [
        Ratio(
            name="join_over_echo",
            title="joins/s, each another buyer with a proof of work",
            limit_title="a bare aiohttp JSON echo of the same requests",
            unit="requests/s",
            measured=runs.rates("join"),
            limit=runs.rates("join echo"),
            must=0.75,
            aim=0.95,
            excludes=f"{_EXCLUDES}; tokens are new to the process, so each is verified in full;"
            " loopback addresses have no budget",
        ),
        Ratio(
            name="poll_over_echo",
            title=f"status polls/s in a drawn line of {waiting:,}",
            limit_title="a bare aiohttp GET answered with JSON that is as large",
            unit="requests/s",
            measured=runs.rates("poll"),
            limit=runs.rates("poll echo"),
            must=0.90,
            aim=1.0,
            excludes=_EXCLUDES,
        ),
    ]
    context.results.figures += [
        Figure(
            name=f"{name}_cpu_us",
            title=title,
            value=runs.cpu_us(name),
            unit="us",
            note=f"the echo: {runs.cpu_us(f'{name} echo'):.0f} us; {runs.batch(name):.0f} a flush;"
            f" {median(runs.rates(name)):,.0f} requests/s",
        )
        for name, title in (("join", "API CPU per join"), ("poll", "API CPU per poll"))
    ]
