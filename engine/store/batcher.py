"""Micro-batching: the requests that arrive while one flush is in flight make the next one.

One task owns the one connection. A flush is a single pipeline with one EVALSHA
for each (command, occurrence), its requests packed with msgpack; nothing ever
sleeps to fill a batch. So a lone request goes out at once, and under load the
server's fixed cost of a call, and of an fsync, is shared (DESIGN 3).

Each caller has a future of its own. A caller that is cancelled only drops its
future: the command runs, and its reply is read and thrown away, so no reply
can reach the wrong caller. On any error of the connection it is dropped with
everything that was in flight; whether those commands ran is unknown to the
callers, who repeat them with the same ids and get the same answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Any

from redis.asyncio.connection import AbstractConnection, parse_url
from redis.asyncio.connection import Connection as TcpConnection
from redis.exceptions import NoScriptError, RedisError, ResponseError

from engine.core.errors import OverloadedError, StoreUnavailableError
from engine.core.tasks import end
from engine.store import scripts
from engine.store.packing import pack, unpack

log = logging.getLogger(__name__)

_GROUPS_MAX = 64  # script calls in one flush
_RETRY_S = 0.05  # pause after a failed connection, so that a dead server is not hammered
_REPLY_TIMEOUT_S = 5.0  # a batch takes about 1 ms; a server that is silent so long is gone
_CONNECT_TIMEOUT_S = 2.0

Request = Sequence[Any]


class _Group:
    """The waiting requests of one command for one occurrence."""

    __slots__ = ("command", "futures", "prefix", "requests")

    def __init__(self, command: str, prefix: str) -> None:
        self.command = command
        self.prefix = prefix
        self.requests: list[Request] = []
        self.futures: list[asyncio.Future[list[Any]]] = []


class Batcher:
    """Runs commands on one Redis server. Make one a process; ``start`` before use, ``stop`` after.

    ``size_max``: requests a script call. ``queue_max``: requests that may wait.
    """

    def __init__(self, url: str, *, size_max: int = 128, queue_max: int = 4096) -> None:
        self._options = parse_url(url)
        self._size_max = size_max
        self._queue_max = queue_max
        self._waiting: dict[tuple[str, str], _Group] = {}
        self._ready: list[_Group] = []  # groups that are full
        self._count = 0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._connection: AbstractConnection | None = None
        self.flushes = 0
        self.requests = 0

    async def start(self) -> None:
        """Start the task that owns the connection."""
        self._task = asyncio.create_task(self._run(), name="store-batcher")

    async def stop(self) -> None:
        """Stop; callers that still wait get :class:`StoreUnavailableError`."""
        await end(self._task)
        self._task = None
        self._fail(self._take_all(), StoreUnavailableError(retry_after_s=1))
        await self._disconnect()

    @property
    def waiting(self) -> int:
        """How many requests wait for the next flush."""
        return self._count

    def submit(self, command: str, prefix: str, request: Request) -> asyncio.Future[list[Any]]:
        """Queue one request; the future's result is the script's answer, ``[code, ...]``.

        The future raises :class:`StoreUnavailableError` when the connection fails.
        Raises :class:`OverloadedError` when the queue is full.
        """
        if self._count >= self._queue_max:
            raise OverloadedError(
                "The sale has more requests than it can take at this moment; try again in a second",
                retry_after_s=1,
            )
        key = (command, prefix)
        group = self._waiting.get(key)
        if group is None:
            group = self._waiting[key] = _Group(command, prefix)
            self._wake.set()
        future: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        group.requests.append(request)
        group.futures.append(future)
        self._count += 1
        if len(group.requests) >= self._size_max:
            self._ready.append(self._waiting.pop(key))
        return future

    def _take(self) -> list[_Group]:
        """Take what the next flush sends, oldest first."""
        groups = self._ready[:_GROUPS_MAX]
        del self._ready[: len(groups)]
        busy = {(group.command, group.prefix) for group in self._ready}
        for key in list(self._waiting):
            if len(groups) >= _GROUPS_MAX:
                break
            if key not in busy:  # its older requests go first
                groups.append(self._waiting.pop(key))
        self._count -= sum(len(group.requests) for group in groups)
        return groups

    def _take_all(self) -> list[_Group]:
        groups = [*self._ready, *self._waiting.values()]
        self._ready, self._waiting, self._count = [], {}, 0
        return groups

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._ready or self._waiting:
                groups = self._take()
                try:
                    await self._flush(groups)
                except (RedisError, OSError, TimeoutError) as error:
                    log.warning("the store's connection failed: %s", error)
                    self._fail(
                        groups,
                        StoreUnavailableError(
                            "The sale cannot be reached; repeat this with the same Idempotency-Key",
                            retry_after_s=1,
                        ),
                    )
                    await self._disconnect()
                    await asyncio.sleep(_RETRY_S)
                except asyncio.CancelledError:
                    self._fail(groups, StoreUnavailableError(retry_after_s=1))
                    raise

    async def _flush(self, groups: list[_Group]) -> None:
        """Send the groups, read their replies, retry what the server says it has not run."""
        replies = await self._call(groups)
        again: list[_Group] = []
        for group, reply in zip(groups, replies, strict=True):
            if isinstance(reply, NoScriptError):
                again.append(group)
            elif isinstance(reply, ResponseError):
                await self._single_out(group, reply)
            else:
                _resolve(group, reply)
        if not again:
            return
        # The server has forgotten the scripts, and so has run nothing of these: send whole texts,
        # which it also remembers, so that it may forget again at any moment.
        for group, reply in zip(again, await self._call(again, "EVAL"), strict=True):
            if isinstance(reply, ResponseError):
                await self._single_out(group, reply)
            else:
                _resolve(group, reply)

    async def _single_out(self, group: _Group, error: ResponseError) -> None:
        """Run the requests of a script that failed, and so changed nothing, one by one."""
        if len(group.requests) == 1:
            log.error("command %s failed: %s", group.command, error)
            failure = StoreUnavailableError(retry_after_s=1)
            self._fail([group], failure)
            return
        singles = []
        for request, future in zip(group.requests, group.futures, strict=True):
            single = _Group(group.command, group.prefix)
            single.requests, single.futures = [request], [future]
            singles.append(single)
        for single, reply in zip(singles, await self._call(singles, "EVAL"), strict=True):
            if isinstance(reply, ResponseError):
                await self._single_out(single, reply)
            else:
                _resolve(single, reply)

    async def _call(self, groups: list[_Group], command: str = "EVALSHA") -> list[Any]:
        connection = await self._connected()
        self.flushes += 1
        commands = []
        for group in groups:
            self.requests += len(group.requests)
            script = scripts.SCRIPTS[group.command]
            code = script.sha if command == "EVALSHA" else script.text
            commands.append((command, code, 1, group.prefix, pack(group.requests)))
        return await self._exchange(connection, commands)

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
        if self._connection is None:
            options = dict(self._options)
            kind: Any = options.pop("connection_class", TcpConnection)
            connection: Any = kind(
                **options,
                socket_connect_timeout=_CONNECT_TIMEOUT_S,
                driver_info=None,
                socket_timeout=None,
            )
            await connection.connect()
            self._connection = connection
        return self._connection

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                await connection.disconnect(nowait=True)

    @staticmethod
    def _fail(groups: list[_Group], error: Exception) -> None:
        for group in groups:
            for future in group.futures:
                if not future.done():
                    future.set_exception(error)


def _resolve(group: _Group, reply: bytes) -> None:
    # raw: packed documents within the answers are not text
    answers = unpack(reply)
    for future, answer in zip(group.futures, answers, strict=True):
        if not future.done():
            future.set_result(answer)
