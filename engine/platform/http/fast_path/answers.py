"""What hot requests have in common: their answers as bytes, and the wait for the store."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

import msgspec
from aiohttp import hdrs, web
from aiohttp.http import RawRequestMessage
from multidict import CIMultiDictProxy, istr

from engine.core.errors import OnsaleError
from engine.core.tokens import Claims
from engine.platform.http.headers import REQUEST_ID_HEADER, request_id, security_headers
from engine.platform.http.pipeline import authenticate
from engine.platform.http.problems import CONTENT_TYPE, problem_body, retry_after_s, unexpected
from engine.platform.http.state import METRICS, SETTINGS, SIGNER
from engine.platform.telemetry.logs import REQUEST_ID

JSON = "application/json"
_ID_HEADER = istr(REQUEST_ID_HEADER)

Answer = Callable[[bytes], None]


class HotAnswers:
    """Makes whole responses of one route, and counts them. ``status``: of a success."""

    def __init__(self, app: web.Application, route: str, status: int) -> None:
        self._route = route
        self._status = status
        self._observe = app[METRICS].observe
        self._fixed = "".join(
            f"{name}: {value}\r\n" for name, value in security_headers(app[SETTINGS].public_url)
        )
        self._success = self.head(status, JSON) + "%s\r\nContent-Length: %d\r\n%s\r\n"
        self._date, self._dated_until = "", 0.0
        self._encode = msgspec.json.Encoder().encode
        self._process, self._count = os.urandom(8).hex(), itertools.count()
        self._late: set[asyncio.Task[None]] = set()

    def head(self, status: int, kind: str) -> str:
        """Return a response's head up to where the request's id stands."""
        phrase = HTTPStatus(status).phrase
        return (
            f"HTTP/1.1 {status} {phrase}\r\nContent-Type: {kind}\r\n{self._fixed}"
            f"{REQUEST_ID_HEADER}: "
        )

    def date(self, began: float) -> str:
        """Return the Date header of the answer to a request that ``began`` then.

        It is made once a second, and seconds are as exact as it is.
        """
        if began >= self._dated_until:
            self._date = f"Date: {formatdate(usegmt=True)}\r\n"
            self._dated_until = began + 1.0
        return self._date

    def identifier(self, headers: CIMultiDictProxy[str]) -> str:
        """Return the request's id: the client's own, or a new one."""
        given = headers.get(_ID_HEADER)
        if given is None:
            return f"{self._process}{next(self._count):016x}"
        return request_id(given)

    def success(self, pending: Pending, view: msgspec.Struct) -> None:
        """Answer with a struct."""
        body = self._encode(view)
        head = self._success % (pending.identifier, len(body), self.date(pending.began))
        pending.answer(head.encode() + body)
        self.count(self._status, pending.began)

    def failure(self, answer: Answer, error: Exception, identifier: str, began: float) -> None:
        """Answer with a problem document."""
        if not isinstance(error, OnsaleError):
            token = REQUEST_ID.set(identifier)
            error = unexpected(error)
            REQUEST_ID.reset(token)
        body = problem_body(error, identifier)
        seconds = retry_after_s(error)
        retry = f"\r\nRetry-After: {seconds}" if seconds is not None else ""
        head = self.head(error.status, CONTENT_TYPE)
        self.count(error.status, began)
        head = f"{head}{identifier}{retry}\r\nContent-Length: {len(body)}\r\n{self.date(began)}\r\n"
        answer(head.encode() + body)

    def count(self, status: int, began: float) -> None:
        """Count an answer."""
        self._observe(self._route, status, time.perf_counter() - began)

    def later(self, pending: Pending, view: Coroutine[Any, Any, msgspec.Struct]) -> None:
        """Answer with a struct that is yet to be made, or with what making it raises."""
        task = asyncio.create_task(self._answer_later(pending, view))
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _answer_later(
        self, pending: Pending, view: Coroutine[Any, Any, msgspec.Struct]
    ) -> None:
        try:
            found = await view
        except Exception as error:  # noqa: BLE001 - the last resort: the caller gets no trace
            pending.set_exception(error)
        else:
            self.success(pending, found)


class HotRoute(ABC):
    """The hot requests of one route, for all connections of a process. ``status``: of a success."""

    def __init__(self, app: web.Application, route: str, status: int) -> None:
        self.answers = HotAnswers(app, route, status)
        self._signer = app[SIGNER]

    def begin(
        self,
        found: Any,
        message: RawRequestMessage,
        raw: bytes,
        connection: web.RequestHandler,
        answer: Answer,
    ) -> None:
        """Start to answer; ``answer`` is called once, now or later, with the whole response."""
        began = time.perf_counter()
        headers = message.headers
        identifier = self.answers.identifier(headers)
        try:
            claims = authenticate(headers.get(hdrs.AUTHORIZATION), self._signer)
            pending = Pending(self, found, claims.sub, identifier, began, answer)
            self.ask(pending, claims, message, raw, connection)
        except Exception as error:  # noqa: BLE001 - the last resort: the caller gets no trace
            self.answers.failure(answer, error, identifier, began)

    @abstractmethod
    def ask(
        self,
        pending: Pending,
        claims: Claims,
        message: RawRequestMessage,
        raw: bytes,
        connection: web.RequestHandler,
    ) -> None:
        """Check the request, and ask the store on behalf of ``pending``. Raises what refuses it."""

    @abstractmethod
    def finish(self, pending: Pending, result: list[Any]) -> None:
        """Answer the request by what the store has said. May raise: that is the answer then."""


class Pending:
    """A request whose answer the store is asked for; it receives what a future would, and once.

    A second answer would be taken for that of the connection's next request.
    ``found``: what its path names; ``buyer``; ``more``: what the route notes for itself.
    """

    __slots__ = (
        "_done",
        "_route",
        "answer",
        "began",
        "buyer",
        "found",
        "identifier",
        "more",
    )

    def __init__(
        self,
        route: HotRoute,
        found: Any,
        buyer: str,
        identifier: str,
        began: float,
        answer: Answer,
    ) -> None:
        self._done = False
        self._route = route
        self.found = found
        self.buyer = buyer
        self.identifier = identifier
        self.began = began
        self.answer = answer
        self.more: Any = None

    def done(self) -> bool:
        """Tell whether the store's answer is not waited for any more."""
        return self._done

    def set_result(self, answer: list[Any], /) -> None:
        """Take the store's answer."""
        self._done = True
        try:
            self._route.finish(self, answer)
        except Exception as error:  # noqa: BLE001 - the last resort: the caller gets no trace
            self.set_exception(error)

    def set_exception(self, error: Exception, /) -> None:
        """Take a failure."""
        self._done = True
        self._route.answers.failure(self.answer, error, self.identifier, self.began)
