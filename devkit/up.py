"""``onsale up``: everything on this machine, for trying it and for developing it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg
from rich.console import Console

from devkit.installation import Installation
from devkit.mail_sink import mail_sink
from devkit.parts import Errand, Service
from devkit.postgres import Postgres
from devkit.processes import PRIVATE, LaunchError, Process, check_port_free
from devkit.supervisor import Supervisor
from devkit.valkey import Valkey
from engine.core.settings import Settings
from engine.payments.stripe import WEBHOOK_EVENTS

_DATABASE = "onsale"
_DEMO = "data/demo.yaml"
_DEMO_EVENT = "demo-match"
_DRAFTS = """
    SELECT count(*) FILTER (WHERE o.status = 'draft'), count(*)
    FROM occurrences o JOIN events e ON e.id = o.event_id WHERE e.slug = %s
"""
_PUBLISHED = """
    SELECT replace(o.id::text, '-', '') FROM occurrences o JOIN events e ON e.id = o.event_id
    WHERE e.slug = %s AND o.status = 'published' ORDER BY o.starts_at LIMIT 1
"""
_GIVEN = ("REDIS_URL", "DATABASE_URL", "STRIPE_API_BASE")


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What can be chosen; see ``onsale up --help``."""

    data: Path
    port: int
    api_processes: int
    fresh: bool


class Up:
    """One run. ``environment`` is what the person set; what it sets always wins."""

    def __init__(self, options: Options, environment: Mapping[str, str], console: Console) -> None:
        self._options = options
        self._environment = dict(environment)
        self._console = console
        self._installation = Installation(options.data)
        self._status = console.status("starting")
        self._supervisor = Supervisor(console.print, self._status.update)
        self._addresses: dict[str, str] = {}

    async def run(self) -> None:
        """Start all, wait for Ctrl-C or SIGTERM, stop all. Raises :class:`LaunchError`."""
        stopped = asyncio.Event()
        os.umask(PRIVATE)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopped.set)
        work = asyncio.create_task(self._work())
        waiter = asyncio.create_task(stopped.wait())
        await asyncio.wait({work, waiter}, return_when=asyncio.FIRST_COMPLETED)
        waiter.cancel()
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work

    async def _work(self) -> None:
        with self._installation.lock():
            await asyncio.to_thread(self._prepare)
            async with mail_sink(
                self._installation.directory / "mail", self._installation.port("mail")
            ) as mail_port:
                try:
                    with self._status:
                        await self._start()
                    demo = await asyncio.to_thread(
                        _demo_occurrence, self._addresses["DATABASE_URL"]
                    )
                    self._tell(mail_port, demo)
                    await self._supervisor.keep()
                finally:
                    with self._status:
                        await self._supervisor.stop()
                    self._installation.forget_addresses()

    def _prepare(self) -> None:
        check_port_free(self._options.port, "the HTTP API; choose with --port")
        if self._options.fresh:
            given = [name for name in _GIVEN[:2] if self._environment.get(name)]
            if given:
                raise LaunchError(
                    f"--fresh empties only what `onsale up` itself runs, and {' and '.join(given)}"
                    " is set: unset it, or empty that server yourself"
                )
            self._installation.clear()
        self._installation.clear_logs()

    async def _start(self) -> None:
        self._addresses = self._own_addresses()
        await self._supervisor.start(*self._servers())
        self._installation.write_addresses(self._addresses)
        await self._errand("migrate", "migrate")
        if await asyncio.to_thread(_demo_is_wanted, self._addresses["DATABASE_URL"]):
            await self._errand("load", "load", _DEMO)
            await self._errand("publish", "publish", _DEMO_EVENT, "--all")
        await self._supervisor.start(self._worker(), self._control(), self._api())

    def _servers(self) -> list[Process]:
        """Return what is to be started of the servers that are not given; note their addresses."""
        keep, servers = self._installation, list[Process]()
        if not self._environment.get("REDIS_URL"):
            valkey = Valkey(
                keep.directory / "valkey", port=keep.port("valkey"), log=keep.log("valkey")
            )
            self._addresses["REDIS_URL"] = f"{valkey.url}/0"
            servers.append(valkey)
        if not self._environment.get("DATABASE_URL"):
            postgres = Postgres(
                keep.directory / "postgres",
                password=keep.secret("postgres"),
                port=keep.port("postgres"),
                log=keep.log("postgres"),
            )
            self._addresses["DATABASE_URL"] = postgres.database_url(_DATABASE)
            servers.append(postgres)
        if not self._environment.get("STRIPE_API_BASE"):
            servers.append(self._stripe())
        return servers

    def _own_addresses(self) -> dict[str, str]:
        """Return variables for what needs no server, except those that the person set."""
        keep, port = self._installation, self._options.port
        made = {
            "ONSALE_API_PORT": str(port),
            "ONSALE_PUBLIC_URL": f"http://127.0.0.1:{port}",
            "ONSALE_API_METRICS_PORT": str(keep.port("api-metrics")),
            "ONSALE_WORKER_METRICS_PORT": str(keep.port("worker")),
            "ONSALE_CONTROL_PORT": str(keep.port("control")),
            "ONSALE_CONTROL_TOKEN": keep.secret("control"),
            "ONSALE_TOKEN_SECRET": keep.secret("token"),
            "ONSALE_INSTALLATION": f"onsale-up-{keep.secret('installation')}",
            "STRIPE_SECRET_KEY": f"sk_test_{keep.secret('stripe')}",
            "STRIPE_PUBLISHABLE_KEY": f"pk_test_{keep.secret('stripe-publishable')}",
            "STRIPE_WEBHOOK_SECRET": f"whsec_{keep.secret('webhook')}",
        }
        chosen = {
            name: value
            for name in ("REDIS_URL", "DATABASE_URL", *_GIVEN, *made)
            if (value := self._environment.get(name))
        }
        # --port was chosen on this command line, which is nearer than a variable
        return {**made, **chosen, "ONSALE_API_PORT": str(port)}

    def _stripe(self) -> Service:
        keep = self._installation
        port = keep.port("stripe")
        self._addresses["STRIPE_API_BASE"] = f"http://127.0.0.1:{port}"
        return Service(
            "stripe look-alike",
            "devkit.stripe",
            [
                *("--port", str(port), "--data", str(keep.directory / "stripe.journal")),
                *("--webhook-url", f"http://127.0.0.1:{self._options.port}/v1/webhooks/stripe"),
                *(part for kind in WEBHOOK_EVENTS for part in ("--webhook-event", kind)),
            ],
            port=port,
            path="/health",
            log=keep.log("stripe"),
            environment=self._child_environment(),
        )

    def _worker(self) -> Service:
        return Service(
            "worker",
            "engine.app.cli",
            ["worker"],
            port=int(self._addresses["ONSALE_WORKER_METRICS_PORT"]),
            path="/health/ready",
            log=self._installation.log("worker"),
            environment=self._child_environment(),
        )

    def _api(self) -> Service:
        return Service(
            "api",
            "engine.app.cli",
            ["api", "--processes", str(self._options.api_processes)],
            port=self._options.port,
            path="/health/ready",
            log=self._installation.log("api"),
            environment=self._child_environment(),
            shared=True,
        )

    def _control(self) -> Service:
        return Service(
            "control",
            "engine.app.cli",
            ["control", "--host", "127.0.0.1"],
            port=int(self._addresses["ONSALE_CONTROL_PORT"]),
            path="/health/ready",
            log=self._installation.log("control"),
            environment=self._child_environment(),
        )

    async def _errand(self, name: str, *arguments: str) -> None:
        await self._supervisor.start(
            Errand(
                name,
                arguments,
                log=self._installation.log(name),
                environment=self._child_environment(),
            )
        )

    def _child_environment(self) -> dict[str, str]:
        return {**self._environment, **self._addresses, "PYTHONUNBUFFERED": "1"}

    def _tell(self, mail_port: int, demo: str | None) -> None:
        settings = Settings.from_environment({**self._environment, **self._addresses})
        url = settings.public_url
        say = self._console.print
        say(f"\n[bold]Onsale is ready:[/] {url}   [dim](Ctrl-C stops everything)[/]")
        if demo is not None:
            say(f"  waiting room   {url}/wait/{demo}")
        say(f"  API reference  {url}/docs")
        say(
            f"  metrics        http://127.0.0.1:{settings.api_metrics_port}/metrics,"
            f" http://127.0.0.1:{settings.worker_metrics_port}/metrics"
        )
        say(f"  control API    http://127.0.0.1:{settings.control_port}/docs")
        say(f"  Redis          {settings.redis_url}")
        say(f"  PostgreSQL     {settings.database_url}")
        say(f"  Stripe         {settings.stripe_api_base}")
        say(f"  mail           127.0.0.1:{mail_port}, kept in {self._installation.directory}/mail")
        say(f"  logs           {self._installation.directory}/log")
        say("\nTry, in another terminal:")
        say("  make demo")
        say(f"  curl {url}/v1/events")
        say(f"  curl --json '{{}}' {url}/v1/guests")
        if self._installation.env_file != Path(".onsale/env").absolute():
            say(f"  export ONSALE_ENV_FILE={self._installation.env_file}   # for the next one")
        say("  .venv/bin/onsale audit\n")


def _demo_is_wanted(database_url: str) -> bool:
    """Tell whether the demo event is missing, or was loaded and not published."""
    with psycopg.connect(database_url) as connection:
        drafts, occurrences = connection.execute(_DRAFTS, [_DEMO_EVENT]).fetchone() or (0, 0)
    return bool(drafts or not occurrences)


def _demo_occurrence(database_url: str) -> str | None:
    """Return an occurrence of the demo event that is on sale."""
    with psycopg.connect(database_url) as connection:
        found = connection.execute(_PUBLISHED, [_DEMO_EVENT]).fetchone()
    return None if found is None else str(found[0])


async def run(options: Options) -> None:
    """Run everything until Ctrl-C. Raises :class:`LaunchError`."""
    console = Console(file=sys.stderr, highlight=False, soft_wrap=True)
    await Up(options, os.environ, console).run()
