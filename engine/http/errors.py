"""Failures that only HTTP knows; they render like every other :class:`OnsaleError`."""

from __future__ import annotations

from engine.core.errors import ForbiddenError, InvalidRequestError, NotFoundError, OnsaleError


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


class UpgradeNeededError(OnsaleError):
    """The path is a WebSocket."""

    code, status, title = "upgrade_required", 426, "This is a WebSocket: connect with one"


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
