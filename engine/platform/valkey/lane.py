"""A connection of the batcher, owned by one task: sends script calls and reads replies in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import re
import time
from collections.abc import Collection, Sequence
from typing import Any, Protocol

from redis.asyncio.connection import AbstractConnection, parse_url
from redis.asyncio.connection import Connection as TcpConnection
from redis.exceptions import NoScriptError, RedisError, ResponseError

from engine.platform.valkey import scripts
from engine.platform.valkey.errors import StoreUnavailableError
from engine.platform.valkey.packing import pack, unpack

log = logging.getLogger(__name__)

_REPLY_TIMEOUT_S = 5.0  # a batch takes a few ms; a server that is silent so long is gone
_CONNECT_TIMEOUT_S = 2.0
_REPORT_S = 1.0  # between two lines of log on failing commands
# How the server begins what it says of itself (READONLY, MISCONF, NOREPLICAS, BUSY, ...); what a
# script does wrong is told in a sentence.
_SERVER_STATE = re.compile(r"(?!WRONGTYPE)[A-Z]{2,}\b")

Request = Sequence[Any]


class Receiver(Protocol):
    """Who waits for an answer: a future, or what costs less where every microsecond counts."""

    def done(self) -> bool:
        """Tell whether nobody waits any more."""

    def set_result(self, answer: list[Any], /) -> None:
        """Take the script's answer, ``[code, ...]``."""

    def set_exception(self, error: Exception, /) -> None:
        """Take the failure."""


class Group:
    """The requests of one command for one occurrence: one script call."""

    __slots__ = ("command", "prefix", "receivers", "requests")

    def __init__(self, command: str, prefix: str) -> None:
        self.command = command
        self.prefix = prefix
        self.requests: list[Request] = []
        self.receivers: list[Receiver] = []

    def fail(self, error: Exception) -> None:
        """Fail every caller that still waits."""
        for receiver in self.receivers:
            if not receiver.done():
                receiver.set_exception(error)

    def resolve(self, reply: bytes) -> None:
        """Give every caller its answer."""
        for receiver, answer in zip(self.receivers, unpack(reply), strict=True):
            if not receiver.done():
                receiver.set_result(answer)


class Lane:
    """Used by one task alone. ``flushes`` and ``requests`` count what was sent."""

    def __init__(self, url: str) -> None:
        self._options = parse_url(url)
        self._connection: AbstractConnection | None = None
        self._reported_s = -math.inf
        self.flushes = 0
        self.requests = 0

    async def flush(self, groups: list[Group]) -> None:
        """Send the groups in one pipeline and give every caller its answer.

        Raises what the connection raises: then it must be dropped, and what had
        been sent may or may not have run.
        """
        forgotten = []
        for group, reply in await self._call(groups):
            if isinstance(reply, NoScriptError):
                forgotten.append(group)
            else:
                await self._give(group, reply)
        if not forgotten:
            return
        # The server has run nothing of these. The text of a script is sent once, however many
        # requests wait for it.
        names = {group.command for group in forgotten}
        for group, reply in await self._call(forgotten, load=names):
            await self._give(group, reply)

    async def _give(self, group: Group, reply: Any) -> None:
        """Give the callers of a group what the server said."""
        if not isinstance(reply, ResponseError):
            _soon(group, reply)
        elif len(group.requests) > 1 and _is_of_a_request(reply):
            await self._single_out(group)
        else:
            self._report(group, reply)
            failure = StoreUnavailableError(retry_after_s=1)
            failure.answered = True
            group.fail(failure)

    async def _single_out(self, group: Group) -> None:
        """Run the requests of a script that failed, and so changed nothing, one by one."""
        singles = []
        for request, receiver in zip(group.requests, group.receivers, strict=True):
            single = Group(group.command, group.prefix)
            single.requests, single.receivers = [request], [receiver]
            singles.append(single)
        for single, reply in await self._call(singles):
            await self._give(single, reply)

    def _report(self, group: Group, error: ResponseError) -> None:
        """Log a failure: one line a second, whatever number of requests fails."""
        now_s = time.monotonic()
        if now_s - self._reported_s >= _REPORT_S:
            self._reported_s = now_s
            log.error("command %s failed: %s", group.command, error)

    async def _call(
        self, groups: list[Group], load: Collection[str] = ()
    ) -> list[tuple[Group, Any]]:
        """Send the groups by the digests of their scripts, after the texts of ``load``."""
        connection = await self._connected()
        self.flushes += 1
        commands: list[Any] = [("SCRIPT", "LOAD", scripts.SCRIPTS[name].text) for name in load]
        for group in groups:
            self.requests += len(group.requests)
            sha = scripts.SCRIPTS[group.command].sha
            commands.append(("EVALSHA", sha, 1, group.prefix, pack(group.requests)))
        replies = await self._exchange(connection, commands)
        # a text that the server refuses says why, which "no such script" behind it does not
        refused = {
            name: reply
            for name, reply in zip(load, replies, strict=False)
            if isinstance(reply, ResponseError)
        }
        return [
            (group, refused.get(group.command, reply))
            for group, reply in zip(groups, replies[len(load) :], strict=True)
        ]

    async def _exchange(self, connection: AbstractConnection, commands: list[Any]) -> list[Any]:
        async with asyncio.timeout(_REPLY_TIMEOUT_S):
            await connection.send_packed_command(
                connection.pack_commands(commands), check_health=False
            )
            replies = []
            for _ in commands:
                try:
                    replies.append(await connection.read_response(disable_decoding=True))
                except ResponseError as error:
                    replies.append(error)
        return replies

    async def _connected(self) -> AbstractConnection:
        if self._connection is not None and _has_ended(self._connection):
            await self.disconnect()  # nothing is in flight on it: the server went while it was idle
        if self._connection is None:
            options = dict(self._options)
            kind: Any = options.pop("connection_class", TcpConnection)
            connection: Any = kind(
                **options,
                socket_connect_timeout=_CONNECT_TIMEOUT_S,
                driver_info=None,
                socket_timeout=None,
            )
            try:
                await connection.connect()
            except BaseException:  # a cancellation, too: nobody else knows of the connection
                await connection.disconnect(nowait=True)
                raise
            self._connection = connection
        return self._connection

    async def disconnect(self) -> None:
        """Drop the connection; the next flush makes another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                await connection.disconnect(nowait=True)


def _has_ended(connection: Any) -> bool:
    """Tell whether the server has closed a connection on which no reply is awaited."""
    reader: asyncio.StreamReader | None = connection._reader  # noqa: SLF001 - it does not tell
    return reader is None or reader.at_eof() or reader.exception() is not None


def _is_of_a_request(error: ResponseError) -> bool:
    """Tell whether one request of a batch may be what failed, and the others not.

    When the server can run nothing now (no memory, a replica, a disk that is full), asking for
    each request on its own would only add to its troubles.
    """
    return type(error) is ResponseError and not _SERVER_STATE.match(str(error))


def _soon(group: Group, reply: bytes) -> None:
    """Give the answers in the loop's next turn: in this one the lane sends the next flush."""
    asyncio.get_running_loop().call_soon(group.resolve, reply)
