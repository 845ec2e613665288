"""Fast path that bypasses aiohttp's request pipeline, for requests that come in crowds.

Holding tickets, joining the line and asking for one's place are answered at the
connection: aiohttp's parser reads them, but no task, request, route, middleware
or response object is made for them. The checks are those of
:mod:`engine.platform.http.pipeline`, in the same order, the rooms behind are the same,
and so are the bytes. Whatever is not exactly such a request in its plain form,
alone on an idle connection, goes on to the application, which answers it too.
docs/adr/0003 has the reasons and figures.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import hdrs, web
from aiohttp.http import HttpVersion11, RawRequestMessage
from aiohttp.streams import StreamReader

from engine.platform.http.connections import Connection, Rules, Runner, Server
from engine.platform.http.fast_path.answers import HotRoute

_BEFORE = "/v1/occurrences/"
_ID_END = len(_BEFORE) + 32
_PATH_LENGTH_MAX = _ID_END + len("/holds")  # of the paths below the longest
_UNREAD_BYTES_MAX = 262_144  # answers that a client may leave unread before it is cut off

_log = logging.getLogger(__name__)


class Hot:
    """Knows the hot requests of all connections of a process.

    ``routes``: by method and by what follows the occurrence's id in the path;
    ``find``: what an id names, None: it is not at hand.
    """

    def __init__(
        self,
        routes: Mapping[tuple[str, str], HotRoute],
        find: Callable[[str], object | None],
        body_bytes_max: int,
    ) -> None:
        self._find = find
        self._body_bytes_max = body_bytes_max
        self.routes = routes

    def wants(
        self, message: RawRequestMessage, payload: StreamReader
    ) -> tuple[HotRoute, object] | None:
        """Return who answers this plain and complete request, and for what occurrence; or None."""
        path = message.path
        if len(path) > _PATH_LENGTH_MAX or path[: len(_BEFORE)] != _BEFORE:
            return None
        route = self.routes.get((message.method, path[_ID_END:]))
        if (
            route is None
            or message.version != HttpVersion11
            or message.should_close
            or message.upgrade
            or message.chunked
            or not payload.is_eof()
            or payload.total_bytes > self._body_bytes_max
            or hdrs.EXPECT in message.headers
            or hdrs.CONTENT_ENCODING in message.headers
        ):
            return None
        found = self._find(path[len(_BEFORE) : _ID_END])
        return None if found is None else (route, found)


FAST_PATH: web.AppKey[Callable[[web.Application], Hot]] = web.AppKey("fast_path")
"""Makes the fast path of an application that has started."""


class _Connection(Connection):
    """aiohttp's connection, which answers hot requests itself while nothing else is under way."""

    __slots__ = ("_held", "_hot", "_hot_under_way")

    def __init__(self, manager: web.Server, *, hot: Hot, **options: Any) -> None:
        super().__init__(manager, **options)
        self._hot = hot
        self._hot_under_way = False
        self._held: list[bytes] = []  # what came meanwhile: one piece, as reading stops then

    def data_received(self, data: bytes) -> None:
        if self._hot_under_way:
            self._held.append(data)
            self._pause_transport_reading()
        else:
            super().data_received(data)

    def _take(self, message: Any, payload: StreamReader) -> bool:
        """Begin to answer a hot request; False: it is none, or other requests come first."""
        waiter = self._waiter
        if waiter is None or waiter.done() or self._messages:
            return False
        if not isinstance(message, RawRequestMessage):
            return False  # one that could not be parsed
        wanted = self._hot.wants(message, payload)
        if wanted is None:
            return False
        route, found = wanted
        self._hot_under_way = True
        route.begin(found, message, payload.read_nowait(-1), self, self._answer)
        return True

    def _process_keepalive(self) -> None:
        if self._hot_under_way:
            self._stay_open()  # to aiohttp the connection looks idle
        super()._process_keepalive()

    def _stay_open(self) -> None:
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout

    def _answer(self, data: bytes) -> None:
        try:
            self._write_answer(data)
        except Exception:  # noqa: BLE001 - the other buyers of this batch must get theirs
            _log.exception("an answer could not be written")
            self.force_close()

    def _write_answer(self, data: bytes) -> None:
        self._hot_under_way = False
        self._stay_open()
        transport = self.transport
        if transport is not None:
            if transport.get_write_buffer_size() > _UNREAD_BYTES_MAX:
                self.force_close()
            else:
                transport.write(data)
        if self._held:
            held, self._held = self._held, []
            self._resume_transport_reading()
            for piece in held:
                self.data_received(piece)

    @property
    def idle(self) -> bool:
        """Whether no request is under way, a hot one neither."""
        return super().idle and not self._hot_under_way


class HotServer(Server):
    """The server of an application, with hot requests answered at the connection."""

    def __init__(self, server: web.Server, rules: Rules, app: web.Application) -> None:
        super().__init__(server, rules)
        self._hot = app[FAST_PATH](app)

    def __call__(self) -> web.RequestHandler:
        """Return the protocol of a new connection."""
        return _Connection(self, hot=self._hot, rules=self.rules, loop=self._loop, **self._kwargs)


class HotRunner(Runner):
    """Serves the application that has hot requests."""

    async def _make_server(self) -> web.Server:
        return HotServer(await web.AppRunner._make_server(self), self.rules, self.app)  # noqa: SLF001 - aiohttp's hook for this
