"""The lean way in front of the application, for the one request that everybody makes at once.

``POST /v1/occurrences/{id}/holds`` is answered here: the same checks in the
same order as :mod:`engine.http.endpoints`, the same sale, the same bytes, but
no routing, no middleware and no response object to build. Whatever is not
exactly that request in its plain form goes to the application, which answers
it too. Measured (one core, wrk on the other): this saves a third of the
request's time.
"""

from __future__ import annotations

import itertools
import os
import re
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import msgspec
from aiohttp import hdrs, web
from aiohttp.web_request import BaseRequest

from engine.core.errors import OnsaleError
from engine.core.logs import REQUEST_ID
from engine.http.endpoints import authenticate, check_media_type
from engine.http.headers import REQUEST_ID_HEADER, request_id, security_headers
from engine.http.problems import (
    CONTENT_TYPE,
    http_error,
    malformed,
    problem_body,
    retry_after_s,
    unexpected,
)
from engine.http.route import IDEMPOTENCY_HEADER, idempotency
from engine.http.state import METRICS, SALE, SETTINGS, SIGNER
from engine.sale.requests import HoldRequest

Handler = Callable[[BaseRequest], Awaitable[web.StreamResponse]]

ROUTE_NAME = "create_hold"
_PATH = re.compile(r"/v1/occurrences/([0-9a-f]{32})/holds")
_PATH_LENGTH = len("/v1/occurrences/") + 32 + len("/holds")
_UNREAD_BYTES_MAX = 262_144  # answers that a client may leave unread before it is cut off
_JSON = "application/json"
_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}


class _Written(web.StreamResponse):
    """A response whose bytes are ready: head and body are written in one piece."""

    def __init__(self, status: int, data: bytes) -> None:
        # Not StreamResponse.__init__: nothing that it sets up is used, at a third of the cost.
        self._status = status
        self._data = data
        self._eof_sent = False
        self._keep_alive = True
        self._payload_writer = None

    async def prepare(self, request: BaseRequest) -> None:
        transport = request.transport
        if transport is None:
            return
        if transport.get_write_buffer_size() > _UNREAD_BYTES_MAX:
            transport.abort()
            return
        transport.write(self._data)

    async def write_eof(self, data: bytes = b"") -> None:
        del data
        self._eof_sent = True


def make_front(app: web.Application, handle: Handler) -> Handler:
    """Return the handler of the server: hot requests here, everything else by ``handle``."""
    signer, metrics = app[SIGNER], app[METRICS]
    acquire = app[SALE].holds.acquire
    decode = msgspec.json.Decoder(HoldRequest).decode
    encode = msgspec.json.Encoder().encode
    fixed = "".join(
        f"{name}: {value}\r\n" for name, value in security_headers(app[SETTINGS].public_url)
    )
    heads = {
        kind: f"Content-Type: {kind}\r\n{fixed}".encode() for kind in (f"{_JSON}", CONTENT_TYPE)
    }
    process, count = os.urandom(8).hex(), itertools.count()

    def write(status: int, kind: str, body: bytes, identifier: str, more: str = "") -> _Written:
        head = (
            f"{REQUEST_ID_HEADER}: {identifier}\r\n{more}Content-Length: {len(body)}\r\n\r\n"
        ).encode()
        return _Written(status, b"".join((_STATUS_LINES[status], heads[kind], head, body)))

    async def create_hold(request: BaseRequest, occurrence: str, identifier: str) -> _Written:
        headers = request.headers
        claims = authenticate(headers.get(hdrs.AUTHORIZATION), signer)
        raw = await request.read()
        key = idempotency(headers.get(IDEMPOTENCY_HEADER), "POST", request.raw_path, raw)
        check_media_type(headers.get(hdrs.CONTENT_TYPE))
        try:
            body = decode(raw)
        except (ValueError, RecursionError) as error:
            raise malformed(error) from None
        view = await acquire(claims.sub, occurrence, body, key)
        return write(201, _JSON, encode(view), identifier)

    def problem(error: OnsaleError, identifier: str) -> _Written:
        seconds = retry_after_s(error)
        more = f"Retry-After: {seconds}\r\n" if seconds is not None else ""
        return write(error.status, CONTENT_TYPE, problem_body(error, identifier), identifier, more)

    async def front(request: BaseRequest) -> web.StreamResponse:
        path = request.raw_path
        if (
            len(path) != _PATH_LENGTH
            or request.method != hdrs.METH_POST
            or (match := _PATH.fullmatch(path)) is None
            or not request.keep_alive
            or hdrs.EXPECT in request.headers
        ):
            return await handle(request)
        began = time.perf_counter()
        given = request.headers.get(REQUEST_ID_HEADER)
        identifier = f"{process}{next(count):016x}" if given is None else request_id(given)
        REQUEST_ID.set(identifier)  # every request runs in a context of its own
        try:
            response = await create_hold(request, match[1], identifier)
        except OnsaleError as error:
            response = problem(error, identifier)
        except web.HTTPException as exception:
            found, _ = http_error(exception)
            response = problem(found, identifier)
        except Exception as exception:  # noqa: BLE001 - the last resort: the caller gets no trace
            response = problem(unexpected(exception), identifier)
        metrics.observe(ROUTE_NAME, response.status, time.perf_counter() - began)
        return response

    return front
