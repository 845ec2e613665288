"""A mail server for development: it takes every message and sends none.

Each becomes a file ``<id>.eml`` (ids sort by time), with the envelope in
``X-Envelope-From`` and ``X-Envelope-To``. RFC 5321 as far as a mail client of
the product needs it; no TLS and no passwords, on loopback only.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from engine.core.ids import new_id
from engine.embedded.processes import make_private

_LINE_BYTES_MAX = 4_096  # RFC 5321, 4.5.3.1 asks for 1,000 at least
_MESSAGE_BYTES_MAX = 10 * 1024 * 1024
_RECIPIENTS_MAX = 100  # as RFC 5321, 4.5.3.1.8
_IDLE_S = 60
_PATH = re.compile(r"(?:FROM|TO):\s*<([^>\s]*)>", re.IGNORECASE)


@dataclass(slots=True)
class _Session:
    """One connection: the envelope that is being written."""

    directory: Path
    sender: str | None = None
    recipients: list[str] = field(default_factory=list)

    def reset(self) -> None:
        self.sender = None
        self.recipients.clear()

    def answer(self, line: str) -> str:
        """Return the reply to a command other than DATA and QUIT."""
        verb, _, rest = line.strip().partition(" ")
        match verb.upper():
            case "EHLO":
                self.reset()
                reply = f"250-onsale\r\n250-8BITMIME\r\n250 SIZE {_MESSAGE_BYTES_MAX}"
            case "HELO" | "RSET":
                self.reset()
                reply = "250 OK"
            case "NOOP":
                reply = "250 OK"
            case "MAIL" if path := _PATH.match(rest):
                self.reset()
                self.sender = path[1]
                reply = "250 OK"
            case "RCPT" if path := _PATH.match(rest):
                reply = self._add(path[1])
            case "MAIL" | "RCPT":
                reply = "501 An address in <> is needed"
            case _:
                reply = "502 Not implemented"
        return reply

    def _add(self, recipient: str) -> str:
        if self.sender is None:
            return "503 MAIL comes first"
        if len(self.recipients) >= _RECIPIENTS_MAX:
            return "452 Too many recipients"
        self.recipients.append(recipient)
        return "250 OK"

    def store(self, message: bytes) -> None:
        """Write the message; a reader never sees half of one."""
        envelope = (
            f"X-Envelope-From: {self.sender}\r\nX-Envelope-To: {', '.join(self.recipients)}\r\n"
        )
        name = new_id()
        unfinished = self.directory / f".{name}"
        unfinished.write_bytes(envelope.encode() + message)
        unfinished.rename(self.directory / f"{name}.eml")
        self.reset()


async def _read_message(reader: asyncio.StreamReader) -> bytes | None:
    """Return the message after DATA, or None when it was too large (it is read all the same)."""
    lines: list[bytes] = []
    size = 0
    while (line := await _read_line(reader)) != b".\r\n":
        line = line.removeprefix(b".")  # the sender doubled it (RFC 5321, 4.5.2)
        size += len(line)
        if size <= _MESSAGE_BYTES_MAX:
            lines.append(line)
    return b"".join(lines) if size <= _MESSAGE_BYTES_MAX else None


async def _read_line(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(_IDLE_S):
        return await reader.readuntil(b"\r\n")


async def _converse(
    session: _Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    async def say(reply: str) -> None:
        writer.write(f"{reply}\r\n".encode())
        await writer.drain()

    await say("220 onsale mail sink")
    while True:
        line = (await _read_line(reader)).decode("utf-8", "replace")
        verb = line.strip().upper()
        if verb == "QUIT":
            await say("221 Bye")
            return
        if verb != "DATA":
            await say(session.answer(line))
        elif not session.recipients:
            await say("503 RCPT comes first")
        else:
            await say("354 End with a line that has only a dot")
            message = await _read_message(reader)
            if message is None:
                session.reset()
                await say("552 The message is too large")
            else:
                await asyncio.to_thread(session.store, message)
                await say("250 Stored")


@contextlib.asynccontextmanager
async def mail_sink(directory: Path, port: int = 0) -> AsyncIterator[int]:
    """Take mail on loopback while the context lasts; yields the port.

    ``directory`` is made. ``port`` 0 lets the kernel choose. Raises
    :class:`OSError` when the port is taken.
    """
    await asyncio.to_thread(make_private, directory)
    sessions: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            sessions.add(task)
            task.add_done_callback(sessions.discard)
        try:
            await _converse(_Session(directory), reader, writer)
        except (OSError, EOFError, asyncio.LimitOverrunError, TimeoutError):
            pass  # the client went, or talks something else: there is nobody to tell
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", port, limit=_LINE_BYTES_MAX)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in sessions:
            task.cancel()
        await asyncio.gather(*sessions, return_exceptions=True)
        await server.wait_closed()
