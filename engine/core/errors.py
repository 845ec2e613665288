"""The one tree of errors that a caller can meet, each with a stable code.

Services raise these; they never return ``None`` for a failure. One middleware
(:mod:`engine.platform.http.problems`) renders them as problem+json (RFC 9457). The
``code`` is part of the public interface: it never changes its meaning.
"""

from __future__ import annotations

from typing import Any, ClassVar


class OnsaleError(Exception):
    """A failure that the caller can be told about.

    ``detail`` is one sentence that says what to do next. ``extra`` holds
    further members of the problem document (JSON-serialisable).
    ``retry_after_s`` becomes the ``Retry-After`` header; ``may_retry``: it may have one
    although its status does not call for it.
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something went wrong"
    may_retry: ClassVar[bool] = False

    def __init__(self, detail: str = "", *, retry_after_s: int | None = None, **extra: Any) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.extra = extra
        self.retry_after_s = retry_after_s


class InvalidRequestError(OnsaleError):
    """The request is malformed; nothing was changed."""

    code, status, title = "invalid_request", 400, "The request is malformed"


class UnauthorizedError(OnsaleError):
    """No token, or one that is not valid any more."""

    code, status, title = "unauthorized", 401, "A valid token is needed"


class ForbiddenError(OnsaleError):
    """The caller is known but may not do this."""

    code, status, title = "forbidden", 403, "This is not allowed"


class NotFoundError(OnsaleError):
    """No such thing, or none that belongs to the caller."""

    code, status, title = "not_found", 404, "There is no such thing here"


class ConflictError(OnsaleError):
    """The request is well-formed but the state of things forbids it."""

    code, status, title = "conflict", 409, "The state of things does not allow this"
