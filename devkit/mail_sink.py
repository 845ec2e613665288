"""A mail server for development, of aiosmtpd: it takes every message and sends none.

Each becomes a file ``<id>.eml`` (ids sort by time), with the envelope in
``X-Envelope-From`` and ``X-Envelope-To``. No TLS and no passwords, on loopback only.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from weakref import WeakSet

from aiosmtpd.smtp import SMTP, Envelope, Session

from devkit.processes import make_private
from engine.core.ids import new_id

_MESSAGE_BYTES_MAX = 10 * 1024 * 1024
_RECIPIENTS_MAX = 100  # as RFC 5321, 4.5.3.1.8
_IDLE_S = 60


class _Keeper:
    """What aiosmtpd calls with what was sent."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name for it
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take one more recipient, up to a bound."""
        del server, session, options
        if len(envelope.rcpt_tos) >= _RECIPIENTS_MAX:
            return "452 Too many recipients"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - aiosmtpd's name for it
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        """Write the message; a reader never sees half of one."""
        del server, session
        await asyncio.to_thread(self._store, envelope)
        return "250 Stored"

    def _store(self, envelope: Envelope) -> None:
        head = (
            f"X-Envelope-From: {envelope.mail_from}\r\n"
            f"X-Envelope-To: {', '.join(envelope.rcpt_tos)}\r\n"
        )
        name = new_id()
        unfinished = self._directory / f".{name}"
        unfinished.write_bytes(head.encode() + (envelope.original_content or b""))
        unfinished.rename(self._directory / f"{name}.eml")


class _Connection(SMTP):
    """One client; it can be parted from."""

    def close(self) -> None:
        """Close the connection if it is still open."""
        if self.transport is not None:
            self.transport.close()


@contextlib.asynccontextmanager
async def mail_sink(directory: Path, port: int = 0) -> AsyncIterator[int]:
    """Take mail on loopback while the context lasts; yields the port.

    ``directory`` is made. ``port`` 0 lets the kernel choose. Raises
    :class:`OSError` when the port is taken.
    """
    await asyncio.to_thread(make_private, directory)
    keeper, connections = _Keeper(directory), WeakSet[_Connection]()

    def connection() -> _Connection:
        made = _Connection(
            keeper,
            hostname="onsale",
            ident="onsale mail sink",
            data_size_limit=_MESSAGE_BYTES_MAX,
            enable_SMTPUTF8=True,
            timeout=_IDLE_S,
        )
        connections.add(made)
        return made

    server = await asyncio.get_running_loop().create_server(connection, "127.0.0.1", port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for one in connections:
            one.close()
        await server.wait_closed()
