"""The lean way for the one request that everybody makes at once.

``POST /v1/occurrences/{id}/holds`` is answered at the connection: aiohttp's
parser reads it, but no task, request, route, middleware or response object is
made for it. The checks are those of :mod:`engine.http.endpoints`, in the same
order, the sale is the same, and so are the bytes. Whatever is not exactly that
request in its plain form, alone on an idle connection, goes on to the
application, which answers it too. docs/adr/0003 has the reasons and figures.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import hdrs, web
from aiohttp.http import HttpVersion11, RawRequestMessage
from aiohttp.streams import StreamReader
from multidict import istr

from engine.core.errors import OnsaleError, SoldOutError
from engine.core.logs import REQUEST_ID
from engine.http.endpoints import authenticate, check_media_type
from engine.http.headers import REQUEST_ID_HEADER, request_id, security_headers
from engine.http.problems import CONTENT_TYPE, malformed, problem_body, retry_after_s, unexpected
from engine.http.route import IDEMPOTENCY_HEADER, idempotency
from engine.http.state import METRICS, SALE, SETTINGS, SIGNER
from engine.sale.occurrences import Published
from engine.sale.requests import HoldRequest
from engine.store.codes import Code, LineCode

ROUTE_NAME = "create_hold"
_BEFORE, _AFTER = "/v1/occurrences/", "/holds"
_ID_END = len(_BEFORE) + 32
_PATH_LENGTH = _ID_END + len(_AFTER)
_UNREAD_BYTES_MAX = 262_144  # answers that a client may leave unread before it is cut off
_JSON = "application/json"
_MARK = "THE-REQUEST-ID"
_SOLD_OUT = [Code.LINES, [[0, LineCode.SOLD_OUT, 0]]]  # one line, nothing left
_KEY_HEADER, _ID_HEADER = istr(IDEMPOTENCY_HEADER), istr(REQUEST_ID_HEADER)

_log = logging.getLogger(__name__)

Messages = Sequence[tuple[Any, StreamReader]]


class Hot:
    """Answers hot requests of all connections of a process."""

    def __init__(self, app: web.Application) -> None:
        sale = app[SALE]
        self._holds = sale.holds
        self._loaded = sale.known.loaded
        self._signer = app[SIGNER]
        self._observe = app[METRICS].observe
        self._body_bytes_max = app[SETTINGS].body_bytes_max
        self._decode = msgspec.json.Decoder(HoldRequest).decode
        self._encode = msgspec.json.Encoder().encode
        self._fixed = "".join(
            f"{name}: {value}\r\n" for name, value in security_headers(app[SETTINGS].public_url)
        )
        self._created = self._head(201, _JSON) + "%s\r\nContent-Length: %d\r\n\r\n"
        error = SoldOutError(lines=[{"line": 0, "code": "sold_out", "left": 0}])
        self._sold_out = problem_body(error, _MARK).decode().split(_MARK)
        self._sold_out_head = self._head(error.status, CONTENT_TYPE)
        self._process, self._count = os.urandom(8).hex(), itertools.count()
        self._late: set[asyncio.Task[None]] = set()

    def _head(self, status: int, kind: str) -> str:
        phrase = HTTPStatus(status).phrase
        return (
            f"HTTP/1.1 {status} {phrase}\r\nContent-Type: {kind}\r\n{self._fixed}"
            f"{REQUEST_ID_HEADER}: "
        )

    def wants(self, message: RawRequestMessage, payload: StreamReader) -> Published | None:
        """Return the occurrence whose hold this plain and complete request asks for, or None."""
        path = message.path
        if (
            len(path) != _PATH_LENGTH
            or message.method != hdrs.METH_POST
            or path[_ID_END:] != _AFTER
            or path[: len(_BEFORE)] != _BEFORE
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
        return self._loaded(path[len(_BEFORE) : _ID_END])

    def begin(
        self,
        published: Published,
        message: RawRequestMessage,
        raw: bytes,
        answer: Callable[[bytes], None],
    ) -> None:
        """Start to answer; ``answer`` is called once, now or later, with the whole response."""
        began = time.perf_counter()
        headers = message.headers
        given = headers.get(_ID_HEADER)
        identifier = (
            f"{self._process}{next(self._count):016x}" if given is None else request_id(given)
        )
        try:
            claims = authenticate(headers.get(hdrs.AUTHORIZATION), self._signer)
            key = idempotency(headers.get(_KEY_HEADER), hdrs.METH_POST, message.path, raw)
            check_media_type(headers.get(hdrs.CONTENT_TYPE))
            try:
                wanted = self._decode(raw)
            except (ValueError, RecursionError) as error:
                raise malformed(error) from None
            pending = _Pending(self, published, identifier, began, answer)
            self._holds.request(pending, claims.sub, published, wanted, key)
        except Exception as error:  # noqa: BLE001 - the last resort: the caller gets no trace
            answer(self.problem(error, identifier, began))

    def finish(self, pending: _Pending, result: list[Any]) -> None:
        """Answer a request with what the store has said."""
        try:
            if result == _SOLD_OUT:
                pending.answer(self._sold_out_answer(pending.identifier))
                self._observe(ROUTE_NAME, 409, time.perf_counter() - pending.began)
                return
            body = self._encode(self._holds.view(pending.published, result))
        except IndexError:  # it names what a publication of this moment has added
            task = asyncio.create_task(self._finish_late(pending, result))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
        except Exception as error:  # noqa: BLE001 - the last resort: the caller gets no trace
            pending.set_exception(error)
        else:
            self._write(pending, body)

    async def _finish_late(self, pending: _Pending, result: list[Any]) -> None:
        try:
            view = await self._holds.newest_view(pending.published, result)
        except Exception as error:  # noqa: BLE001 - the last resort: the caller gets no trace
            pending.set_exception(error)
        else:
            self._write(pending, self._encode(view))

    def _write(self, pending: _Pending, body: bytes) -> None:
        pending.answer((self._created % (pending.identifier, len(body))).encode() + body)
        self._observe(ROUTE_NAME, 201, time.perf_counter() - pending.began)

    def _sold_out_answer(self, identifier: str) -> bytes:
        """Return the answer that most get in the end: the same but for the request's id."""
        body = f"{self._sold_out[0]}{identifier}{self._sold_out[1]}"
        head = f"{self._sold_out_head}{identifier}\r\nContent-Length: {len(body)}\r\n\r\n"
        return (head + body).encode()

    def problem(self, error: Exception, identifier: str, began: float) -> bytes:
        """Return the whole response for a failure, and count it."""
        if not isinstance(error, OnsaleError):
            token = REQUEST_ID.set(identifier)
            error = unexpected(error)
            REQUEST_ID.reset(token)
        body = problem_body(error, identifier)
        seconds = retry_after_s(error)
        retry = f"\r\nRetry-After: {seconds}" if seconds is not None else ""
        head = self._head(error.status, CONTENT_TYPE)
        self._observe(ROUTE_NAME, error.status, time.perf_counter() - began)
        return f"{head}{identifier}{retry}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


class _Pending:
    """A request whose answer the store is asked for; it receives what a future would, and once.

    A second answer would be taken for that of the connection's next request.
    """

    __slots__ = ("_done", "_hot", "answer", "began", "identifier", "published")

    def __init__(
        self,
        hot: Hot,
        published: Published,
        identifier: str,
        began: float,
        answer: Callable[[bytes], None],
    ) -> None:
        self._done = False
        self._hot = hot
        self.published = published
        self.identifier = identifier
        self.began = began
        self.answer = answer

    def done(self) -> bool:
        return self._done

    def set_result(self, answer: list[Any], /) -> None:
        self._done = True
        self._hot.finish(self, answer)

    def set_exception(self, error: Exception, /) -> None:
        self._done = True
        self.answer(self._hot.problem(error, self.identifier, self.began))


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
        published = self._hot.wants(message, payload)
        if published is None:
            return False
        self._hot_under_way = True
        self._hot.begin(published, message, payload.read_nowait(-1), self._answer)
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
