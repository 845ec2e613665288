"""The lean way for the requests that everybody makes at once.

Holding tickets, joining the line and asking for one's place are answered at the
connection: aiohttp's parser reads them, but no task, request, route, middleware
or response object is made for them. The checks are those of
:mod:`engine.http.endpoints`, in the same order, the rooms behind are the same,
and so are the bytes. Whatever is not exactly such a request in its plain form,
alone on an idle connection, goes on to the application, which answers it too.
docs/adr/0003 has the reasons and figures.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import hdrs, web
from aiohttp.http import HttpVersion11, RawRequestMessage
from aiohttp.streams import StreamReader

from engine.http.hot_answers import HotRoute
from engine.http.hot_holds import HotHolds
from engine.http.hot_queue import HotJoins, HotPlaces
from engine.http.state import SALE, SETTINGS
from engine.sale.occurrences import Published

_BEFORE = "/v1/occurrences/"
_ID_END = len(_BEFORE) + 32
_PATH_LENGTH_MAX = _ID_END + len("/holds")  # of the paths below the longest
_UNREAD_BYTES_MAX = 262_144  # answers that a client may leave unread before it is cut off

_log = logging.getLogger(__name__)

Messages = Sequence[tuple[Any, StreamReader]]


class Hot:
    """Knows the hot requests of all connections of a process."""

    def __init__(self, app: web.Application) -> None:
        self._loaded = app[SALE].known.loaded
        self._body_bytes_max = app[SETTINGS].body_bytes_max
        self.routes: dict[tuple[str, str], HotRoute] = {
            (hdrs.METH_POST, "/holds"): HotHolds(app),
            (hdrs.METH_POST, "/queue"): HotJoins(app),
            (hdrs.METH_GET, "/queue"): HotPlaces(app),
        }

    def wants(
        self, message: RawRequestMessage, payload: StreamReader
    ) -> tuple[HotRoute, Published] | None:
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
            or message.compression
            or not payload.is_eof()
            or payload.total_bytes > self._body_bytes_max
            or hdrs.EXPECT in message.headers
        ):
            return None
        published = self._loaded(path[len(_BEFORE) : _ID_END])
        return None if published is None else (route, published)


class _Parser:
    """aiohttp's parser, of whose messages ``take`` may keep one for itself."""

    __slots__ = ("_parser", "_take", "feed_data_of")

    def __init__(self, parser: Any, take: Callable[[Any, StreamReader], bool]) -> None:
        self._parser = parser
        self._take = take
        self.feed_data_of = parser.feed_data

    def feed_data(self, data: bytes) -> tuple[Messages, bool, bytes]:
        messages, upgraded, tail = self.feed_data_of(data)
        if len(messages) == 1 and not upgraded and self._take(*messages[0]):
            self._parser.message_consumed()
            return (), False, tail
        return messages, upgraded, tail

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)


class _Connection(web.RequestHandler):
    """aiohttp's connection, which answers hot requests itself while nothing else is under way."""

    __slots__ = ("_answered", "_held", "_hot", "_hot_under_way")

    def __init__(self, manager: web.Server, *, hot: Hot, **options: Any) -> None:
        super().__init__(manager, **options)
        self._hot = hot
        self._hot_under_way = False
        self._held: list[bytes] = []  # what came meanwhile: one piece, as reading stops then
        self._answered: asyncio.Future[None] | None = None
        self._parser: Any = _Parser(self._parser, self._take)

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
        route, published = wanted
        self._hot_under_way = True
        route.begin(published, message, payload.read_nowait(-1), self, self._answer)
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
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(None)
        if self._held:
            held, self._held = self._held, []
            self._resume_transport_reading()
            for piece in held:
                self.data_received(piece)

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109 - aiohttp's
        """Wait for the answer that is under way, then close as aiohttp does."""
        if self._hot_under_way:
            self._answered = self._loop.create_future()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._answered
        await super().shutdown(timeout)


class HotServer(web.Server):
    """aiohttp's server of an application, with hot requests answered at the connection."""

    def __init__(self, server: web.Server, app: web.Application) -> None:
        super().__init__(
            server.request_handler,
            request_factory=server.request_factory,
            handler_cancellation=server.handler_cancellation,
            **server._kwargs,  # noqa: SLF001 - there is no other way to make one like it
        )
        self._hot = Hot(app)

    def __call__(self) -> web.RequestHandler:
        """Return the protocol of a new connection."""
        return _Connection(self, hot=self._hot, loop=self._loop, **self._kwargs)
