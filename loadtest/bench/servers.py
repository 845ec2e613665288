"""The processes that are measured, each on its core, and what they have used of it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from devkit.parts import Service
from devkit.processes import free_port
from engine.core.settings import Settings
from engine.payments.stripe import WEBHOOK_EVENTS

API_CORE = 0
LOAD_CORE = 1  # Valkey and the load generator, and this process itself
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_UTIME, _STIME = 11, 12  # of /proc/PID/stat after the name


def pin(pid: int, core: int) -> None:
    """Let a process, with all its threads and what it forks from now on, run on one core only."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {core})


@contextmanager
def both_cores() -> Iterator[None]:
    """Let this process, and what it starts meanwhile, run on either core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {API_CORE, LOAD_CORE})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_s(pid: int) -> float:
    """Return the seconds of CPU that a process has used, to 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[_UTIME]) + int(fields[_STIME])) / _TICKS_A_SECOND


def environment(settings: Settings, **more: str) -> dict[str, str]:
    """Return the variables for a part: these settings, and nothing of a running ``onsale up``."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ONSALE_", "STRIPE_", "REDIS_", "DATABASE_"))
    }
    return {
        **kept,
        "ONSALE_ENV_FILE": os.devnull,
        "REDIS_URL": settings.redis_url,
        "DATABASE_URL": settings.database_url,
        "STRIPE_API_BASE": settings.stripe_api_base,
        "STRIPE_SECRET_KEY": settings.stripe_secret_key,
        "STRIPE_PUBLISHABLE_KEY": settings.stripe_publishable_key,
        "STRIPE_WEBHOOK_SECRET": settings.stripe_webhook_secret,
        "ONSALE_API_PORT": str(settings.api_port),
        "ONSALE_API_METRICS_PORT": str(settings.api_metrics_port),
        "ONSALE_PUBLIC_URL": settings.public_url,
        "ONSALE_WORKER_METRICS_PORT": str(settings.worker_metrics_port),
        **more,
    }


def api(variables: Mapping[str, str], port: int, log: Path, profile: Path | None = None) -> Service:
    """Return an API process; with ``profile`` one that can be profiled into that file."""
    module, arguments = "engine.app.cli", ["api"]
    if profile is not None:
        module, arguments = "loadtest.bench.profiled", [str(profile)]
    return Service(
        "api",
        module,
        arguments,
        port=port,
        path="/health/ready",
        log=log,
        environment=variables,
    )


def echo(log: Path) -> Service:
    """Return the bare echo that the API is compared with."""
    port = free_port()
    return Service(
        "echo",
        "loadtest.bench.echo",
        [str(port)],
        port=port,
        path="/health",
        log=log,
        environment=dict(os.environ),
    )


def worker(variables: Mapping[str, str], port: int, log: Path) -> Service:
    """Return a worker."""
    return Service(
        "worker",
        "engine.app.cli",
        ["worker"],
        port=port,
        path="/health/ready",
        log=log,
        environment=variables,
    )


def lookalike(settings: Settings, port: int, log: Path) -> Service:
    """Return the payment provider's look-alike, in memory, telling the API what happens."""
    return Service(
        "stripe look-alike",
        "devkit.stripe",
        [
            *("--port", str(port)),
            *("--webhook-url", f"http://127.0.0.1:{settings.api_port}/v1/webhooks/stripe"),
            *(part for kind in WEBHOOK_EVENTS for part in ("--webhook-event", kind)),
        ],
        port=port,
        path="/health",
        log=log,
        environment=environment(settings),
    )
