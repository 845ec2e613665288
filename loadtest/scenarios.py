"""What can be thrown at an installation: who comes, how many, how fast, for how long."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import sys
from pathlib import Path
from typing import Final

import msgspec

from devkit.demo.crowd import known
from devkit.demo.stage import EVENT, Pace, publish_another
from engine.core.settings import Settings, variable
from loadtest.books import Books, read_books

_PROJECT = Path(__file__).parents[1]
_STOP_S = 2  # for what users are doing when the time is up
_GRACE_S = 60.0


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """``users``: classes of loadtest/locustfile.py, mixed by their weights.

    ``count`` of them come, ``rate`` a second, and go on for ``seconds``.
    """

    says: str
    users: tuple[str, ...]
    count: int
    rate: int
    seconds: int
    pace: Pace


class Outcome(msgspec.Struct, kw_only=True):
    """``failed``: requests got an answer that nobody should get, or a promise was broken."""

    scenario: str
    occurrence: str
    failed: bool
    books: Books

    @property
    def exit_code(self) -> int:
        """1 when anything was not as it must be."""
        return int(self.failed or bool(self.books.wrong))


# All must be in line before the opening, and be called for as long as the users go on.
_PACE = Pace(opens_in_ms=12_000, rate=40, cap=120)

SCENARIOS: Final[dict[str, Scenario]] = {
    "spike": Scenario(
        says="a launch: all come in the seconds before the opening, wait, go in and buy",
        users=("Buyer",),
        count=400,
        rate=60,
        seconds=45,
        pace=Pace(opens_in_ms=12_000, rate=40, cap=30),  # less than want to be inside
    ),
    "refresh": Scenario(
        says="a refresh storm: three of four reload and join again all the time",
        users=("Buyer", "Refresher"),
        count=200,
        rate=50,
        seconds=40,
        pace=_PACE,
    ),
    "bypass": Scenario(
        says="attempts to get in without waiting, of all kinds, among honest buyers",
        users=("Buyer", "Intruder"),
        count=120,
        rate=30,
        seconds=40,
        pace=_PACE,
    ),
    "churn": Scenario(
        says="every live connection is torn down again and again",
        users=("Buyer", "Churner"),
        count=200,
        rate=40,
        seconds=40,
        pace=_PACE,
    ),
}


async def play(
    name: str,
    scenario: Scenario,
    settings: Settings,
    *,
    event: Path = EVENT,
    log: Path | None = None,
) -> Outcome:
    """Send the users to a fresh occurrence of ``event``, and check the books after them.

    ``log``: takes what locust says; without one it is shown. Raises
    :class:`engine.core.errors.OnsaleError`, ``TimeoutError``.
    """
    published = await publish_another(settings, event, scenario.pace)
    await known(settings.public_url, published.occurrence)
    failed = await send(scenario, settings, published.occurrence, log)
    return Outcome(
        scenario=name,
        occurrence=published.occurrence,
        failed=failed,
        books=await read_books(settings, published.occurrence),
    )


async def send(scenario: Scenario, settings: Settings, occurrence: str, log: Path | None) -> bool:
    """Send the users of a scenario there; returns whether anything failed.

    Raises ``TimeoutError`` when locust does not end.
    """
    given = {
        variable(field.name): str(getattr(settings, field.name))
        for field in dataclasses.fields(settings)
    }
    output = None if log is None else await asyncio.to_thread(log.open, "wb")
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "locust", "-f", "loadtest/locustfile.py", "--headless"),
            *("--only-summary", "--stop-timeout", str(_STOP_S), "--occurrence", occurrence),
            *("-u", str(scenario.count), "-r", str(scenario.rate), "-t", f"{scenario.seconds}s"),
            *scenario.users,
            cwd=_PROJECT,
            env={**os.environ, **given, "ONSALE_ENV_FILE": os.devnull},
            stdout=output,
            stderr=output,
        )
    finally:
        if output is not None:
            output.close()
    try:
        async with asyncio.timeout(scenario.seconds + _STOP_S + _GRACE_S):
            return await process.wait() != 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
