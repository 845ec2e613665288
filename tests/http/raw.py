"""Bare connections to an edge, and answers as they come."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import orjson

PATIENCE_S = 30


@dataclass
class Raw:
    """An answer, its headers by their names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The code of the problem document that it must be, with the headers of all answers."""
        self.careful()
        assert self.headers["content-type"] == "application/problem+json", self
        problem: dict[str, Any] = orjson.loads(self.body)
        assert problem["status"] == self.status
        assert problem["request_id"] == self.headers["x-request-id"]
        return str(problem["code"])

    def careful(self) -> None:
        """Check the headers that all answers have."""
        assert self.headers["server"] == "onsale", self
        assert self.headers["date"].endswith(" GMT"), self
        assert self.headers["x-content-type-options"] == "nosniff", self
        assert "default-src 'none'" in self.headers["content-security-policy"], self
        assert self.headers["cache-control"], self


class Wire:
    """A bare connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            self.writer.write(data)
            await self.writer.drain()

    async def answer(self, *, head: bool = False) -> Raw | None:
        """The next answer; None: the connection has ended."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                text = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *lines = text.strip().splitlines()
                headers = {
                    name.lower(): value.strip()
                    for name, _, value in (line.partition(":") for line in lines)
                }
                status = int(first.split()[1])
                length = int(headers.get("content-length", "0"))
                body = b"" if head else await self.reader.readexactly(length)
            except (asyncio.IncompleteReadError, ConnectionError):
                return None
        return Raw(status, headers, body)

    async def answered(self) -> Raw:
        found = await self.answer()
        assert found is not None, "the connection ended without an answer"
        return found

    async def ended(self) -> bool:
        """Wait until the other side has closed; what comes meanwhile is thrown away."""
        async with asyncio.timeout(PATIENCE_S):
            with contextlib.suppress(ConnectionError):
                while await self.reader.read(65_536):
                    pass
        return True


@contextlib.asynccontextmanager
async def wire_to(port: int) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def ask(port: int, sent: bytes, *, head: bool = False) -> Raw:
    """Send bytes on a connection of their own, and return the first answer."""
    async with wire_to(port) as wire:
        await wire.send(sent)
        found = await wire.answer(head=head)
        assert found is not None, f"no answer to {sent[:80]!r}"
        return found
