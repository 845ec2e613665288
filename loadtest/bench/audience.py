"""The process with the listeners (:mod:`loadtest.bench.listeners`), as its parent sees it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from loadtest.checks import CheckError

_OPEN_S = 120.0
_TOLD_S = 30.0
_LINE_MAX = 65_536  # bytes: a frame in hex


class Told(NamedTuple):
    """When the first and the last were told (monotonic clock, s), and with what bytes.

    ``frames``: that came in the meantime to all of them together.
    """

    first: float
    last: float
    frames: int
    frame: bytes


class Audience:
    """All listeners. Made by :func:`audience`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def expect(self, what: str, within_s: float) -> dict[str, Any]:
        """Wait for a message. Raises :class:`CheckError` when another one comes, or none."""
        if self._process.stdout is None:
            raise LookupError("it was started without a pipe")
        try:
            async with asyncio.timeout(within_s):
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise CheckError(f"listeners: not {what} within {within_s:.0f} s") from None
        message: dict[str, Any] = orjson.loads(line or b'{"what": "ended"}')
        if message["what"] != what:
            raise CheckError(f"listeners: {message}, not {what}")
        return message

    async def tell(self, serving: int, move: Callable[[], Awaitable[object]]) -> Told:
        """Do what moves the line to this serving number, and wait until all were told."""
        if self._process.stdin is None:
            raise LookupError("it was started without a pipe")
        self._process.stdin.write(b"%d\n" % serving)
        await self.expect("armed", _TOLD_S)
        await move()
        found = await self.expect("told", _TOLD_S)
        return Told(found["first"], found["last"], found["frames"], bytes.fromhex(found["frame"]))


@asynccontextmanager
async def audience(port: int, paths: Sequence[str], file: Path) -> AsyncIterator[Audience]:
    """Open a connection for each path (empty: a bare one), and close them at the end."""
    await asyncio.to_thread(file.write_text, "\n".join(paths))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadtest.bench.listeners", str(port), str(file)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE_MAX,
    )
    try:
        found = Audience(process)
        await found.expect("open", _OPEN_S)
        yield found
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
