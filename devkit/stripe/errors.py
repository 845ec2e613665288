"""The error objects of the API, each with its HTTP status."""

from __future__ import annotations

from typing import Any

import msgspec


class ApiError(Exception):
    """An answer other than 200.

    ``saved``: whether the answer is kept under the request's idempotency key.
    Stripe keeps what happened after the work began (declines, wrong states,
    500s), and forgets what was refused before it (parameters, keys, limits).
    """

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        *,
        saved: bool = False,
        headers: dict[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.saved = saved
        self.headers = headers or {}
        self.members = {
            **{name: value for name, value in members.items() if value is not None},
            "message": message,
            "type": kind,
        }

    def body(self) -> bytes:
        """Return the JSON document."""
        return msgspec.json.encode({"error": self.members})


def invalid(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """Return a 400 about a parameter; nothing has been done."""
    return ApiError(400, "invalid_request_error", message, param=param, code=code)


def missing(kind: str, item: str, param: str) -> ApiError:
    """Return the 404 for an id that names nothing."""
    return ApiError(
        404,
        "invalid_request_error",
        f"No such {kind}: '{item}'",
        code="resource_missing",
        param=param,
    )


def refused(
    message: str, *, param: str | None = None, code: str | None = None, **members: Any
) -> ApiError:
    """Return a 400 because of the state of things; a repeated call repeats it."""
    return ApiError(
        400, "invalid_request_error", message, saved=True, param=param, code=code, **members
    )


def unauthorized(message: str, code: str | None = None) -> ApiError:
    """Return the 401 for a missing, wrong or too weak key."""
    return ApiError(401, "invalid_request_error", message, code=code)


def server_error(status: int = 500) -> ApiError:
    """Return what a broken server says."""
    return ApiError(
        status,
        "api_error",
        "An unknown error occurred",
        saved=status == 500,  # noqa: PLR2004 - the status itself says more than a name
        headers={"Stripe-Should-Retry": "false"} if status == 500 else {},  # noqa: PLR2004 - the same
    )


def rate_limited() -> ApiError:
    """Return the 429."""
    return ApiError(
        429, "invalid_request_error", "Too many requests hit the API too quickly", code="rate_limit"
    )
