"""Failures as problem documents (RFC 9457): one rendering for everything that can go wrong."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

import msgspec
import orjson
from aiohttp import web

from engine.core.errors import InvalidRequestError, OnsaleError
from engine.core.ids import new_id
from engine.platform.http.errors import (
    BodyTooLargeError,
    ContentEncodingError,
    MethodNotAllowedError,
    PathUnknownError,
    UnexpectedError,
    UpgradeNeededError,
)
from engine.platform.http.headers import REQUEST_ID_HEADER

CONTENT_TYPE = "application/problem+json"
RETRY_AFTER_S = 2  # when the error does not know better: long enough to calm a crowd down
_RETRY_STATUSES = frozenset({429, 503})
_HTTP_CLIENT_ERROR, _HTTP_SERVER_ERROR = 400, 500

_log = logging.getLogger(__name__)


class Problem(msgspec.Struct, kw_only=True):
    """A problem document. Some codes add members: ``lines``, ``path``, ``allowed``.

    ``type`` points to the explanation of the ``code``; ``detail`` says what to do next.
    """

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str


def problem_body(error: OnsaleError, request_id: str) -> bytes:
    """Return the problem document of an error as JSON."""
    return orjson.dumps(
        {
            **error.extra,
            "type": f"/docs#{error.code}",
            "title": error.title,
            "status": error.status,
            "detail": error.detail,
            "code": error.code,
            "request_id": request_id,
        }
    )


def retry_after_s(error: OnsaleError) -> int | None:
    """Return the seconds for Retry-After: always for 429 and 503, else only if the error has it."""
    if error.retry_after_s is None and error.status in _RETRY_STATUSES:
        return RETRY_AFTER_S
    return error.retry_after_s


def problem_response(
    error: OnsaleError, request_id: str, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return the response that tells the caller about an error."""
    if isinstance(error, UpgradeNeededError | ContentEncodingError):
        headers = {**error.headers, **(headers or {})}
    response = web.Response(
        body=problem_body(error, request_id),
        status=error.status,
        content_type=CONTENT_TYPE,
        headers=headers,
    )
    seconds = retry_after_s(error)
    if seconds is not None:
        response.headers["Retry-After"] = str(seconds)
    return response


def last_words(error: OnsaleError, always: Iterable[tuple[str, str]]) -> bytes:
    """Return a whole response for a connection that ends with it and has no request.

    ``always``: the headers of all answers.
    """
    identifier = new_id()
    body = problem_body(error, identifier)
    seconds = retry_after_s(error)
    headers = {
        "Content-Type": CONTENT_TYPE,
        **dict(always),
        REQUEST_ID_HEADER: identifier,
        "Date": formatdate(usegmt=True),
        **({} if seconds is None else {"Retry-After": str(seconds)}),
        "Connection": "close",
        "Content-Length": str(len(body)),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    phrase = HTTPStatus(error.status).phrase
    return f"HTTP/1.1 {error.status} {phrase}\r\n{lines}\r\n".encode() + body


def malformed(error: Exception) -> InvalidRequestError:
    """Return the error for a body or query that does not decode.

    The message of msgspec ends in the JSON path of the mistake; ``path`` repeats it alone.
    """
    if isinstance(error, msgspec.ValidationError):
        message = str(error)
        found, at, path = message.rpartition(" - at `")
        return InvalidRequestError(
            f"{found if at else message}: correct it and try again",
            path=path.rstrip("`") if at else "$",
        )
    return InvalidRequestError("The body is not JSON in UTF-8: correct it and try again", path="$")


def http_error(error: web.HTTPException) -> tuple[OnsaleError, dict[str, str]]:
    """Return what an exception of aiohttp means here, and the headers that go with it."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = sorted(error.allowed_methods)
        names = ", ".join(allowed)
        return MethodNotAllowedError(f"Use {names}", allowed=allowed), {"Allow": names}
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return BodyTooLargeError("Send a shorter body"), {"Connection": "close"}
    if isinstance(error, web.HTTPNotFound):
        return PathUnknownError("See /docs for what there is"), {}
    if _HTTP_CLIENT_ERROR <= error.status < _HTTP_SERVER_ERROR:
        return InvalidRequestError(error.reason), {}
    return unexpected(error), {}


def unexpected(error: BaseException) -> OnsaleError:
    """Log a mistake of ours with its trace, and return what the caller is told."""
    _log.error("unexpected failure of a request", exc_info=error)
    return UnexpectedError("Try again with the same Idempotency-Key; tell us the request id")


def describe(code: type[OnsaleError]) -> dict[str, Any]:
    """Return an example of the problem document of an error class, for the OpenAPI document."""
    return {
        "type": f"/docs#{code.code}",
        "title": code.title,
        "status": code.status,
        "detail": code.title,
        "code": code.code,
        "request_id": "01a1f7f1efbb7465b31f6a2e285a0c51",
    }
