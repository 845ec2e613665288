"""Failures that only HTTP knows; they render like every other :class:`OnsaleError`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from engine.core.errors import ForbiddenError, InvalidRequestError, NotFoundError, OnsaleError
from engine.platform.valkey.errors import OverloadedError


class PathUnknownError(NotFoundError):
    """No route has this path."""

    code, title = "path_unknown", "There is nothing at this path"


class MethodNotAllowedError(OnsaleError):
    """The path exists, but not with this method; ``allowed`` lists those that do."""

    code, status, title = "method_not_allowed", 405, "This method is not allowed here"


class BodyTooLargeError(OnsaleError):
    """The body is longer than the limit."""

    code, status, title = "body_too_large", 413, "The body is too large"


class MediaTypeError(OnsaleError):
    """The body is not declared as JSON."""

    code, status, title = "unsupported_media_type", 415, "The body must be application/json"


class ContentEncodingError(OnsaleError):
    """The body is declared as compressed: none that is taken here is worth it."""

    code, status, title = "unsupported_content_encoding", 415, "The body must not be compressed"
    headers: ClassVar[Mapping[str, str]] = {"Accept-Encoding": "identity"}


class UpgradeNeededError(OnsaleError):
    """The path is a WebSocket, of version 13."""

    code, status, title = "upgrade_required", 426, "This is a WebSocket: connect with one"
    headers: ClassVar[Mapping[str, str]] = {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"}


class RequestTimeoutError(OnsaleError):
    """The head or the body of a request took too long; nothing was changed."""

    code, status, title = "request_timeout", 408, "The request took too long to arrive"


class UriTooLongError(OnsaleError):
    """The target of the request is longer than the limit."""

    code, status, title = "uri_too_long", 414, "The address of the request is too long"


class HeadTooLargeError(OnsaleError):
    """The head of the request is larger than the limit."""

    code, status, title = "head_too_large", 431, "The head of the request is too large"


class ExpectationError(OnsaleError):
    """The request expects what no server here can do."""

    code, status, title = "expectation_failed", 417, "Only 100-continue can be expected"


class ClientGoneError(OnsaleError):
    """The client went before its request was whole. Nobody reads this answer; metrics count it."""

    code, status, title = "client_gone", 499, "The client went away"


class ConnectionsError(OverloadedError):
    """The process has as many open connections as it can have files."""

    code, title = "too_many_connections", "Too many connections at this moment"


class IdempotencyKeyError(InvalidRequestError):
    """The Idempotency-Key is missing or malformed."""

    code, title = "idempotency_key_invalid", "An Idempotency-Key is needed"


class ActorError(InvalidRequestError):
    """The X-Actor header is missing or malformed."""

    code, title = "actor_invalid", "Say who does it"


class OriginRefusedError(ForbiddenError):
    """A WebSocket was opened by a page of another site."""

    code, title = "origin_refused", "This page may not open a live connection"


class UnexpectedError(OnsaleError):
    """A mistake of ours. The log has the trace under the same request id; the caller has not."""

    code, title = "unexpected", "Something went wrong on our side"


class RestartingError(OverloadedError):
    """The process ends before the request was whole; nothing was changed."""

    code, title = "restarting", "The server restarts"


class TooManyRequestsError(OnsaleError):
    """More than the budget of this address or account allows."""

    code, status, title = "too_many_requests", 429, "Too many requests"


class IdempotencyMismatchError(OnsaleError):
    """The same Idempotency-Key was used with another body."""

    code, status, title = (
        "idempotency_mismatch",
        422,
        "This Idempotency-Key was used with another body",
    )
