"""The system that the demo plays on: the running ``onsale up``, or one of its own."""

from __future__ import annotations

import asyncio
import http.client
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import orjson

from devkit.parts import PROJECT
from devkit.processes import Process, free_port, is_port_free
from engine.core.settings import Settings

_PROBE_S = 2.0
_START_S = 180.0  # a first start initialises PostgreSQL and loads the hall
_STOP_S = 60.0


class OnsaleUp(Process):
    """``onsale up`` as a child. Ready when it serves and its worker works."""

    def __init__(self, data: Path, port: int, environment: Mapping[str, str]) -> None:
        data = data.absolute()
        super().__init__(
            "onsale up",
            [
                *(sys.executable, "-m", "engine.app.cli", "up"),
                *("--data", str(data), "--port", str(port)),
            ],
            log=data / "demo-up.log",
            environment=environment,
            directory=PROJECT,
        )
        self.addresses = data / "env"

    def ready(self) -> bool:
        """Ask the API whose address it has written down."""
        if not self.running or not self.addresses.exists():
            return False
        return serves(Settings.from_environment(read_addresses(self.addresses)))


def read_addresses(file: Path) -> dict[str, str]:
    """Return the variables that ``onsale up`` has written down; none when it does not run."""
    if not file.is_file():
        return {}
    pairs = (line.partition("=") for line in file.read_text().splitlines())
    return {name: value for name, separator, value in pairs if separator}


def without(environment: Mapping[str, str], stale: Mapping[str, str]) -> dict[str, str]:
    """Return the variables but those that only repeat what a system that is gone wrote down."""
    return {name: value for name, value in environment.items() if stale.get(name) != value}


def serves(settings: Settings) -> bool:
    """Tell whether the API is ready and a worker is alive."""
    address = urlsplit(settings.public_url)
    connection = http.client.HTTPConnection(
        address.hostname or "", address.port or 80, timeout=_PROBE_S
    )
    try:
        connection.request("GET", "/health/ready")
        answer = connection.getresponse()
        found = orjson.loads(answer.read())
    except (OSError, ValueError, http.client.HTTPException):
        return False
    else:
        return bool(answer.status == http.HTTPStatus.OK and found.get("worker") == "up")
    finally:
        connection.close()


@asynccontextmanager
async def running_system(
    data: Path, environment: Mapping[str, str], say: Callable[[str], None]
) -> AsyncIterator[Settings]:
    """Give the settings of a system that runs; one that was started for this is stopped again.

    ``environment`` may name a system; what is stale in it (the addresses of an
    ``onsale up`` that is gone) does not count. Raises
    :class:`devkit.processes.LaunchError`.
    """
    settings = Settings.from_environment(environment)
    if await asyncio.to_thread(serves, settings):
        say(f"playing on {settings.public_url}")
        yield settings
        return
    stale = await asyncio.to_thread(read_addresses, _addresses(data, environment))
    kept = without(environment, stale)
    port = Settings().api_port
    if not await asyncio.to_thread(is_port_free, port):
        port = await asyncio.to_thread(free_port)
    up = OnsaleUp(data, port, kept)
    say("no `onsale up` is running: starting one")
    try:
        await asyncio.to_thread(up.start, _START_S)
        addresses = await asyncio.to_thread(read_addresses, up.addresses)
        settings = Settings.from_environment({**kept, **addresses})
        say(f"playing on {settings.public_url}")
        yield settings
    finally:
        say("stopping what was started")
        await asyncio.to_thread(up.stop, _STOP_S)


def _addresses(data: Path, environment: Mapping[str, str]) -> Path:
    return Path(environment.get("ONSALE_ENV_FILE") or data / "env")
