"""Where the time of an API process goes under holds, for ``--profile FILE``."""

from __future__ import annotations

import asyncio
import os
import pstats
import signal
from functools import partial
from io import StringIO
from pathlib import Path

from loadtest.bench import requests, servers
from loadtest.bench.context import Context
from loadtest.bench.holds import CREATED, houses_needed, under_test, warm

_TOP = 25  # functions of each list
_WRITTEN_S = 10.0
_POLL_S = 0.1


async def profile(context: Context) -> str:
    """Return where the time of an API process goes under holds, as text."""
    file = context.directory / "api.pstats"
    service = servers.echo(context.log("echo"))
    async with (
        under_test(context, "profile", houses_needed(context), profile=file) as bench,
        context.running(service, core=servers.API_CORE),
    ):
        await warm(bench, service)
        context.say("holds under the profiler")
        os.kill(bench.api_pid, signal.SIGUSR1)
        run = await bench.hold(partial(requests.named, bench.houses.fresh, 1), CREATED)
        os.kill(bench.api_pid, signal.SIGUSR2)
        async with asyncio.timeout(_WRITTEN_S):
            while not await asyncio.to_thread(_complete, file):  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(_POLL_S)
    text = StringIO()
    text.write(
        f"{run.rate:,.0f} holds/s under cProfile, which slows Python code down; a hold took"
        f" {run.cpu_us:.0f} us of CPU. What is missing in the total below was spent in C:"
        " the event loop, the HTTP parser, the kernel.\n"
    )
    statistics = pstats.Stats(str(file), stream=text).strip_dirs()
    statistics.sort_stats("tottime").print_stats(_TOP)
    statistics.sort_stats("cumulative").print_stats(_TOP)
    return text.getvalue()


def _complete(file: Path) -> bool:
    try:
        pstats.Stats(str(file))
    except (OSError, EOFError, ValueError, TypeError):
        return False
    return True
