"""Runs wrk (apt-get install wrk) and reads what it says."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path

import msgspec

SCRIPT = Path(__file__).with_name("requests.lua")
CONNECTIONS = 256  # buyers at the same moment; fewer leave both cores waiting for each other
_SUMMARY = re.compile(rb"^SUMMARY (\{.*\})$", re.MULTILINE)
_GRACE_S = 30.0  # for making the requests before the clock starts


class WrkError(Exception):
    """wrk is missing or did not do its work; the message says what to do."""


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """One run. ``refused``: answers with a status above 399; ``broken``: requests without one."""

    requests: int
    duration_us: int
    refused: int
    broken: int
    p50_us: int
    p99_us: int

    @property
    def rate(self) -> float:
        """Requests answered a second."""
        return self.requests / (self.duration_us / 1e6)


def find() -> str:
    """Return wrk's path. Raises :class:`WrkError` that says how to get it."""
    path = shutil.which("wrk")
    if path is None:
        raise WrkError("wrk is not installed: apt-get install wrk (Debian, Ubuntu)")
    return path


def parse(output: bytes) -> Summary:
    """Read the line that the script writes at the end. Raises :class:`WrkError`."""
    found = _SUMMARY.search(output)
    if found is None:
        raise WrkError(f"wrk said nothing of use: {output.decode(errors='replace').strip()[-300:]}")
    try:
        return msgspec.json.decode(found[1], type=Summary)
    except msgspec.MsgspecError as error:
        raise WrkError(f"wrk's summary cannot be read: {error}") from error


async def run(base_url: str, requests: Path, duration_s: float, path: str | None = None) -> Summary:
    """Send the requests of a file, in order, on so many connections; ``path`` replaces their own.

    They begin anew at the end of the file. Raises :class:`WrkError`.
    """
    seconds = max(1, round(duration_s))
    process = await asyncio.create_subprocess_exec(
        find(),
        *("-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(SCRIPT), base_url),
        *("--", str(requests), *([path] if path else [])),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(seconds + _GRACE_S):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return parse(output)
