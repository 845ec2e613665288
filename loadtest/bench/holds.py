"""Holds over HTTP against a bare echo: by seat, best available, sold out; and fsync.

API and echo on one core, Valkey and wrk on the other. Every round runs all of
them, so that each ratio's two sides are measured within seconds of each other.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from pathlib import Path
from statistics import median
from typing import ClassVar

from redis.asyncio import Redis

from devkit.parts import Service
from engine.core.settings import Settings
from engine.core.tokens import TokenSigner
from engine.sale.inventory.snapshot import Snapshot
from loadtest.bench import requests, servers, wrk
from loadtest.bench.context import Context, make_settings
from loadtest.bench.house import Houses, publish_houses
from loadtest.bench.requests import Wanted
from loadtest.bench.results import Figure, Ratio
from loadtest.bench.runs import Expected, Run, Runs, answered, echoed, load
from loadtest.checks import CheckError

_RATE_MAX = 30_000  # requests a second that no core takes by way of aiohttp
CREATED = HTTPStatus.CREATED
_TRIES_MAX = 4
_WARM_S = 1.0
_TURNS = 3  # a round, of what differs most from run to run: the search for seats, and the disk
_WARM_REQUESTS = 2_000
_ROOM = 1.5  # requests made for a run, over what the fastest one so far would have taken
_HOT_EXCLUDES = (
    "one API process; the worker, the payment and TLS; tokens are new to the process, so each is"
    " verified in full"
)


class Bench:
    """The servers under test, and one run of wrk against them. Made by :func:`under_test`."""

    rate_max: float = 0.0  # requests a second that need to be prepared
    prepared: int = 0  # requests in the file

    def __init__(
        self, context: Context, settings: Settings, client: Redis, houses: Houses, api_pid: int
    ) -> None:
        self.context = context
        self.settings = settings
        self.client = client
        self.houses = houses
        self.api_pid = api_pid
        self.file = context.directory / "requests"
        self._signer = TokenSigner(settings.token_secret)

    def prepare(self, wanted: Iterator[Wanted], seconds: float) -> int:
        """Write requests for so many seconds; return how many."""
        count = int(self.rate_max * seconds) or _WARM_REQUESTS
        self.prepared = requests.write(self.file, requests.holds(wanted, self._signer), count)
        return self.prepared

    async def echo(self, service: Service) -> Run:
        """Send the requests in the file to the echo."""
        return await echoed(service, self.file, self.context.options.seconds)

    async def hold(self, wanted: Callable[[], Iterator[Wanted]], status: int) -> Run:
        """Run holds on new houses, all of which must be answered with ``status``.

        Afterwards the stock is compared with what was acknowledged. Raises
        :class:`CheckError`, :class:`wrk.WrkError`.
        """
        for _ in range(_TRIES_MAX):
            count = self.prepare(wanted(), self.context.options.seconds)
            run = await self.repeat(status)
            if run.requests + wrk.CONNECTIONS <= count:
                return run
            # some requests were sent twice, which costs less: measure again with more of them
            self.rate_max = max(self.rate_max, run.rate) * _ROOM
        raise CheckError(f"{count} requests were not enough for {run.requests} answers")

    async def repeat(self, status: int) -> Run:
        """Run the requests of the last run again, on new houses; their tokens are known now."""
        await self.houses.restore(self.client)
        run = await answered(
            self.settings,
            self.api_pid,
            Expected("create_hold", status),
            self.file,
            self.context.options.seconds,
        )
        if status == CREATED:
            await self.houses.check(self.client, min(run.requests, self.prepared))
        return run


@asynccontextmanager
async def under_test(
    context: Context, name: str, houses: int, profile: Path | None = None
) -> AsyncIterator[Bench]:
    """Start Valkey and the API, publish so many houses and a sold-out one, warm up."""
    async with context.valkey(name) as (valkey, client):
        settings = make_settings(valkey)
        context.say(f"publishing {houses + 1} stadiums of {context.options.seats:,} seats")
        published = await publish_houses(client, houses, context.options.seats)
        variables, log = servers.environment(settings), context.log(f"{name}-api")
        api = servers.api(variables, settings.api_port, log, profile)
        async with context.running(api, core=servers.API_CORE):
            bench = Bench(context, settings, client, published, api.pid)
            for snapshot in (*published.fresh, published.sold):
                await load(settings.public_url, snapshot.occurrence)
            yield bench


async def warm(bench: Bench, service: Service) -> None:
    """Warm everything up, and find out how many requests a second have to be prepared."""
    fresh = bench.houses.fresh
    bench.prepare(requests.named(fresh, 1), _WARM_S)
    run = await bench.echo(service)
    summary = await wrk.run(bench.settings.public_url, bench.file, _WARM_S)
    bench.rate_max = max(run.rate, summary.rate) * _ROOM


def houses_needed(context: Context) -> int:
    """Return how many stadiums a run may need at most: two seats a request."""
    return 1 + int(2 * _RATE_MAX * context.options.seconds / context.options.seats)


class HoldBench:
    """``holds``: three ratios and two figures from the same rounds."""

    name: ClassVar = "holds"

    async def run(self, context: Context) -> None:
        """Measure."""
        runs = Runs()
        service = servers.echo(context.log("echo"))
        async with (
            under_test(context, "holds", houses_needed(context)) as bench,
            context.running(service, core=servers.API_CORE),
        ):
            await warm(bench, service)
            fresh, sold = bench.houses.fresh, [bench.houses.sold]
            for number in range(1, context.options.rounds + 1):
                context.say(f"holds: round {number} of {context.options.rounds}")
                runs.add("seat", await bench.hold(partial(requests.named, fresh, 1), CREATED))
                runs.add("echo", await bench.echo(service))
                runs.add("known", await bench.repeat(CREATED))
                runs.add("sold out", await bench.hold(partial(_again, sold), HTTPStatus.CONFLICT))
                for _ in range(_TURNS):
                    runs.add("best", await bench.hold(partial(requests.best, fresh, 2), CREATED))
                    runs.add("pair", await bench.hold(partial(requests.named, fresh, 2), CREATED))
        _report(context, runs)


def _again(houses: list[Snapshot]) -> Iterator[Wanted]:
    while True:
        yield from requests.best(houses, 2)


def _report(context: Context, runs: Runs) -> None:
    seats = f"{context.options.seats:,}"
    context.results.ratios += [
        Ratio(
            name="hold_over_echo",
            title="hold requests/s, a seat by choice, all granted",
            limit_title="a bare aiohttp JSON echo of the same requests",
            unit="requests/s",
            measured=runs.rates("seat"),
            limit=runs.rates("echo"),
            must=0.75,
            aim=0.95,
            excludes=_HOT_EXCLUDES,
        ),
        Ratio(
            name="sold_out_over_echo",
            title="sold-out answers/s",
            limit_title="the same echo",
            unit="requests/s",
            measured=runs.rates("sold out"),
            limit=runs.rates("echo"),
            must=0.90,
            aim=1.0,
            excludes=_HOT_EXCLUDES,
        ),
        Ratio(
            name="best_over_seat",
            title=f"best available for 2 in {seats} seats",
            limit_title="holds of 2 named seats",
            unit="requests/s",
            measured=runs.rates("best"),
            limit=runs.rates("pair"),
            must=0.8,
            aim=0.95,
            excludes=_HOT_EXCLUDES,
        ),
    ]
    context.results.figures += [
        Figure(
            name="api_cpu_us",
            title="API CPU per hold",
            value=runs.cpu_us("seat"),
            unit="us",
            note="user and system time of the API process, of the runs by seat",
        ),
        Figure(
            name="api_cpu_known_us",
            title="API CPU per hold, token known",
            value=runs.cpu_us("known"),
            unit="us",
            note="the same requests once more on new houses:"
            f" {median(runs.rates('known')):,.0f} requests/s",
        ),
        Figure(
            name="sold_out_cpu_us",
            title="API CPU per sold-out answer",
            value=runs.cpu_us("sold out"),
            unit="us",
        ),
        Figure(
            name="echo_cpu_us",
            title="CPU of the echo per request",
            value=runs.cpu_us("echo"),
            unit="us",
            note="the limit that they are compared with",
        ),
        Figure(
            name="batch_size",
            title="commands a flush",
            value=runs.batch("seat"),
            unit="",
            note=f"micro-batching with {wrk.CONNECTIONS} connections, of the runs by seat",
        ),
    ]


class FsyncBench:
    """``fsync``: what the promise that an acknowledged hold is on disk costs."""

    name: ClassVar = "fsync"

    async def run(self, context: Context) -> None:
        """Measure: one server, its setting changed between runs."""
        rates: dict[str, list[float]] = {"always": [], "everysec": []}
        service = servers.echo(context.log("echo"))
        async with (
            under_test(context, "fsync", houses_needed(context)) as bench,
            context.running(service, core=servers.API_CORE),
        ):
            await warm(bench, service)
            for number in range(1, (rounds := context.options.rounds * _TURNS) + 1):
                for setting, found in rates.items():
                    context.say(f"fsync {setting}: round {number} of {rounds}")
                    await bench.client.config_set("appendfsync", setting)
                    wanted = partial(requests.named, bench.houses.fresh, 1)
                    found.append((await bench.hold(wanted, CREATED)).rate)
        context.results.ratios.append(
            Ratio(
                name="always_over_everysec",
                title="holds/s with appendfsync always",
                limit_title="with appendfsync everysec",
                unit="requests/s",
                measured=rates["always"],
                limit=rates["everysec"],
                must=0.80,
                aim=0.95,
                excludes=f"{_HOT_EXCLUDES}; the disk is this machine's",
            )
        )
