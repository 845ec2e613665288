"""Connections whose every part is bounded in time and size, and refused as everything else is.

aiohttp's connection waits for ever for the rest of a body and for a client that
does not read. Here the head, the body and the answer have a time each, in total
and not since the last byte. It is kept by one look a second at all connections
of a process, so that a request costs no timer. What cannot be parsed is
answered with a problem document, and leaves one short line of log in ten seconds.
docs/adr/0015 has the reasons and figures.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from aiohttp import hdrs, web
from aiohttp.http import HttpVersion10, HttpVersion11
from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError, LineTooLong
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestPayloadError
from aiohttp.web_request import BaseRequest

from engine.core.errors import InvalidRequestError, OnsaleError
from engine.core.ids import new_id
from engine.platform.http.errors import (
    ConnectionsError,
    ExpectationError,
    HeadTooLargeError,
    RequestTimeoutError,
    RestartingError,
    UriTooLongError,
)
from engine.platform.http.headers import REQUEST_ID_HEADER
from engine.platform.http.problems import last_words, problem_response, unexpected
from engine.platform.telemetry.logs import SeldomLog

LINE_BYTES_MAX: Final = 8_190  # of the request line (RFC 9112, 3 asks for 8,000 at least)
FIELD_BYTES_MAX: Final = 8_192  # of one header; another number, by which errors are told apart
HEAD_BYTES_MAX: Final = 65_536  # of all of them: a client could else leave 1 MiB of half a head
_LINGER_S: Final = 1.0
_CONTINUE: Final = "100-continue"
_HEAD, _BODY, _ANSWER = "head", "body", "answer"

_VERSIONS: Final = {HttpVersion10, HttpVersion11}
_NO_REQUEST: Final = InvalidRequestError("This is no request by the rules of HTTP/1.1")

_log = logging.getLogger(__name__)
_seldom = SeldomLog(_log)

Messages = Sequence[tuple[Any, StreamReader]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """What holds for all connections of a listener. ``*_s``: seconds, in total.

    ``headers``: of all answers; ``count`` is told the status of what has no route;
    ``files_max``: see :func:`engine.platform.open_files.connections_max`.
    """

    head_s: float
    body_s: float
    answer_s: float
    idle_s: float
    headers: tuple[tuple[str, str], ...]
    count: Callable[[int], None]
    files_max: int


class Parser:
    """aiohttp's parser. Knows what is half read; ``take`` may keep a message for itself.

    ``half``: bytes of a head that is not whole yet; ``heads``: those that were; ``broken``: a body
    was not framed by the rules.
    """

    __slots__ = ("_body", "_feed", "_parser", "_take", "broken", "half", "heads")

    def __init__(self, parser: Any, take: Callable[[Any, StreamReader], bool]) -> None:
        self._parser = parser
        self._feed = parser.feed_data
        self._take = take
        self._body: StreamReader | None = None  # that is not whole yet
        self.broken = False
        self.half = 0
        self.heads = 0

    def feed_data(self, data: bytes) -> tuple[Messages, bool, bytes]:
        """Parse; a body that is not framed by the rules is an error for who reads it."""
        try:
            messages, upgraded, tail = self._feed(data)
        except HttpProcessingError as error:
            body, self._body = self._body, None
            if body is None:
                raise
            self.broken = True
            body.set_exception(RequestPayloadError(type(error).__name__))
            return (), False, b""
        if messages:
            self.half = 0
            self.heads += 1
            if len(messages) == 1 and not upgraded and self._take(*messages[0]):
                self._parser.message_consumed()
                return (), False, tail
            body = messages[-1][1]
            self._body = None if body.is_eof() else body
        elif self._body is not None:
            if self._body.is_eof():
                self._body = None
        elif data and not upgraded:
            self.half += len(data)
            if self.half > HEAD_BYTES_MAX:
                raise LineTooLong(b"", FIELD_BYTES_MAX)
        return messages, upgraded, tail

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)


class Connection(web.RequestHandler):
    """aiohttp's connection with the rules of its listener."""

    __slots__ = ("_gone", "_refused", "_rules", "_since", "_watched")

    def __init__(self, manager: web.Server, *, rules: Rules, **options: Any) -> None:
        super().__init__(manager, **options)
        self._rules = rules
        self._parser: Any = Parser(self._parser, self._take)
        self._watched: tuple[str, int] | None = None  # what is waited for
        self._since = 0.0
        self._refused = False
        self._gone: asyncio.Future[None] | None = None  # of who is refused and may still send

    def _take(self, message: Any, payload: StreamReader) -> bool:
        """Tell whether this request is answered without the application."""
        del message, payload
        return False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or say that there are too many already."""
        socket = transport.get_extra_info("socket")
        if socket is None or socket.fileno() < self._rules.files_max:
            super().connection_made(transport)
            return
        _seldom.info("too many open files: new connections are refused", files=socket.fileno())
        self._force_close = True  # what it sends is not read
        self._rules.count(ConnectionsError.status)
        error = ConnectionsError("Try again in a moment")
        refused = cast("asyncio.Transport", transport)
        refused.write(last_words(error, self._rules.headers))
        refused.close()

    def look(self, transport: asyncio.Transport, now: float) -> None:
        """End what has taken longer than its time. ``now``: the loop's."""
        parser, request = self._parser, self._current_request
        if transport.get_write_buffer_size():
            # of all answers together: who reads them one byte at a time never has read all
            watched, most_s = (_ANSWER, 0), self._rules.answer_s
        elif parser is None:
            return  # it is gone
        elif request is not None:
            if request._payload.is_eof():  # noqa: SLF001 - content would be kept for each request
                self._watched = None
                return
            watched, most_s = (_BODY, parser.heads), self._rules.body_s
        elif parser.half and self._waiter is not None:
            watched, most_s = (_HEAD, parser.heads), self._rules.head_s
        else:
            self._watched = None
            return
        if watched != self._watched:
            self._watched, self._since = watched, now
        elif now - self._since >= most_s:
            self._end(watched[0], transport, request)

    def _end(self, what: str, transport: asyncio.Transport, request: BaseRequest | None) -> None:
        _seldom.info(f"the {what} of a request took too long")
        error = RequestTimeoutError("Send the whole request at once")
        if what == _ANSWER:
            transport.abort()
        elif request is not None:
            self._refused = True
            request.content.set_exception(error)  # for who reads the body, and answers
        else:
            self._rules.count(error.status)
            transport.write(last_words(error, self._rules.headers))
            self.force_close()

    def interrupt(self) -> None:
        """Answer a request of which the body is not whole: the process ends."""
        request = self._current_request
        if request is not None and not request.content.is_eof():
            self._refused = True
            request.content.set_exception(RestartingError("Send the same request again"))

    @property
    def idle(self) -> bool:
        """Whether no request is under way."""
        return self._task_handler is None or self._task_handler.done()

    def give_up(self) -> None:
        """End at once whatever is under way."""
        if self._task_handler is not None:
            self._task_handler.cancel()
        self.force_close()

    def refuse(self, error: OnsaleError) -> web.Response:
        """Return the answer to a request that reaches no route; the connection ends with it."""
        identifier = new_id()
        response = problem_response(error, identifier)
        response.headers.update(self._rules.headers)
        response.headers[REQUEST_ID_HEADER] = identifier
        response.force_close()
        self._refused = True
        self._rules.count(error.status)
        return response

    async def finish_response(
        self, request: BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write an answer. Who is refused in mid-request is given a moment to read it.

        A connection that is closed with something unread is reset, and the answer lost with that.
        """
        if self._refused or (self._parser is not None and self._parser.broken):
            self._refused = True
            resp.force_close()
        found = await super().finish_response(request, resp, start_time)
        if self._refused and self.transport is not None:
            self._close = True  # what still comes is thrown away
            self._gone = self._loop.create_future()
            self.transport.write_eof()
            await asyncio.wait([self._gone], timeout=_LINGER_S)
        return found

    def eof_received(self) -> None:
        """Note that the client has ended its side."""
        self._note_gone()
        super().eof_received()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Note that the connection is no more."""
        self._note_gone()
        super().connection_lost(exc)

    def _note_gone(self) -> None:
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what could not be parsed, or what failed outside of all routes."""
        del message
        if isinstance(exc, ConnectionError) or request.writer.output_size > 0:
            raise ConnectionError from exc  # nobody is there, or something was sent already
        if isinstance(exc, HttpProcessingError):
            error = _refusal(exc)
            _seldom.info("a request could not be parsed", reason=type(exc).__name__)
        else:
            error = unexpected(exc or RuntimeError(f"a failure with status {status}"))
        return self.refuse(error)

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log what aiohttp finds unhandled, but for bodies that ended as they should not."""
        if not isinstance(kw.get("exc_info"), OnsaleError | RequestPayloadError | OSError):
            super().log_exception(*args, **kw)


def _refusal(error: HttpProcessingError) -> OnsaleError:
    """Return what a failure of the parser means to the client."""
    if isinstance(error, LineTooLong):
        limit = error.args[1] if len(error.args) > 1 else FIELD_BYTES_MAX
        if limit == LINE_BYTES_MAX:
            return UriTooLongError(f"A request line has {LINE_BYTES_MAX} bytes at most")
        return HeadTooLargeError(
            f"A header has {FIELD_BYTES_MAX} bytes at most, and all of them {HEAD_BYTES_MAX}"
        )
    if isinstance(error, BadHttpMessage) and error.message.startswith("Too many headers"):
        return HeadTooLargeError("A request has 128 headers at most")
    return _NO_REQUEST


class Server(web.Server):
    """aiohttp's server of an application, with the rules of its listener."""

    _LOOK_S = 1.0  # between two looks at all connections; less when the rules are stricter
    _AGAIN_S = 0.02  # between two looks while it ends
    _LAST_S = 0.5  # that who was given up is given to end

    def __init__(self, server: web.Server, rules: Rules) -> None:
        super().__init__(
            self._handle,
            request_factory=server.request_factory,
            handler_cancellation=server.handler_cancellation,
            **server._kwargs,  # noqa: SLF001 - there is no other way to make one like it
        )
        self._application = server.request_handler
        self.rules = rules
        shortest_s = min(rules.head_s, rules.body_s, rules.answer_s)
        self._look_s = min(self._LOOK_S, shortest_s / 4)
        self._timer = self._loop.call_later(self._look_s, self._look)
        self._left: set[asyncio.Task[None]] = set()  # under way, though their clients went

    def __call__(self) -> web.RequestHandler:
        """Return the protocol of a new connection."""
        return Connection(self, rules=self.rules, loop=self._loop, **self._kwargs)

    async def _handle(self, request: BaseRequest) -> web.StreamResponse:
        """Let the application answer, unless it is not asked as it can be."""
        connection = cast("Connection", request.protocol)
        if request.version not in _VERSIONS:
            return connection.refuse(_NO_REQUEST)
        expected = request.headers.get(hdrs.EXPECT)
        if expected and expected.lower() != _CONTINUE:
            return connection.refuse(ExpectationError(f"Expect {_CONTINUE}, or nothing"))
        return await self._application(request)

    def _look(self) -> None:
        now = self._loop.time()
        for connection, transport in self._mine():
            connection.look(transport, now)
        self._timer = self._loop.call_later(self._look_s, self._look)

    def _mine(self) -> list[tuple[Connection, asyncio.Transport]]:
        return [
            (cast("Connection", connection), transport)
            for connection, transport in self._connections.items()
        ]

    def connection_lost(
        self, handler: web.RequestHandler, exc: BaseException | None = None
    ) -> None:
        """Forget a connection, when what is under way for it has ended."""
        del exc
        task = handler._task_handler  # noqa: SLF001 - as in aiohttp
        if task is None or task.done():
            self._connections.pop(handler, None)
        else:
            self._left.add(task)
            task.add_done_callback(lambda _: self._connections.pop(handler, None))
            task.add_done_callback(self._left.discard)

    def pre_shutdown(self) -> None:
        """Take no further request; answer those that are not whole."""
        super().pre_shutdown()
        for connection, _ in self._mine():
            connection.interrupt()

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - aiohttp's
        """Let requests that are under way finish in so many seconds, then end them all."""
        self._timer.cancel()
        await self._ended(timeout or 0.0)
        for connection, transport in self._mine():
            connection.give_up()
            transport.abort()
        for task in self._left:
            task.cancel()
        await self._ended(self._LAST_S)
        self._connections.clear()

    async def _ended(self, within_s: float) -> None:
        """Wait until no connection is left, closing those with nothing under way."""
        until = self._loop.time() + within_s
        while self._connections and self._loop.time() < until:
            for connection, _ in self._mine():
                if connection.idle:
                    connection.force_close()
            await asyncio.sleep(self._AGAIN_S)


class Runner(web.AppRunner):
    """Serves an application by the rules of its listener."""

    def __init__(self, app: web.Application, rules: Rules, *, shutdown_timeout_s: float) -> None:
        super().__init__(
            app,
            handler_cancellation=False,
            access_log=None,
            keepalive_timeout=rules.idle_s,
            shutdown_timeout=shutdown_timeout_s,
            max_line_size=LINE_BYTES_MAX,
            max_field_size=FIELD_BYTES_MAX,
            auto_decompress=False,
        )
        self.rules = rules

    async def _make_server(self) -> web.Server:
        return Server(await super()._make_server(), self.rules)
