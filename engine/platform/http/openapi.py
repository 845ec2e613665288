"""The OpenAPI 3.1 document, made from the route table and the structs that validate."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import orjson

from engine.core.errors import InvalidRequestError, OnsaleError, UnauthorizedError
from engine.platform.http.errors import (
    ActorError,
    BodyTooLargeError,
    ConnectionsError,
    ContentEncodingError,
    ExpectationError,
    HeadTooLargeError,
    IdempotencyKeyError,
    IdempotencyMismatchError,
    MediaTypeError,
    PathUnknownError,
    RequestTimeoutError,
    RestartingError,
    UnexpectedError,
    UriTooLongError,
)
from engine.platform.http.headers import REQUEST_ID_HEADER
from engine.platform.http.idempotency import IDEMPOTENCY_HEADER, KEY_LENGTH_MAX, KEY_LENGTH_MIN
from engine.platform.http.problems import CONTENT_TYPE, Problem, describe
from engine.platform.http.route import ACTOR_HEADER, ACTOR_PATTERN, PATTERNS, Answer, Route
from engine.platform.valkey.errors import StoreUnavailableError

_REFERENCE = "#/components/schemas/{name}"
_PARAMETER = re.compile(r"\{([a-z_]+)\}")
_RETRY_STATUSES = frozenset({429, 503})
_KEY_DESCRIPTION = (
    "A new random value (a UUID, say) for every new request, the same one when it is repeated: "
    "then the answer is the same and nothing is done twice. Keep it to yourself."
)
_ACTOR_DESCRIPTION = "Who does it: a person's account name, say. It goes into the record."
_SCHEMES = {
    "guest": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "service": {"type": "http", "scheme": "bearer"},
}
_DESCRIPTION = """\
A flash-sale engine for ticketed events: every seat sold exactly once, in a fair order.

Get a token (`POST /v1/guests`), choose an occurrence (`GET /v1/occurrences`), stand in line where
there is a waiting room, hold tickets, check out, pay with the client secret of the answer, and read
the order.

Amounts are integers in minor units of the currency beside them. Times are RFC 3339 in UTC;
fields that end in `_in_ms` count down from the moment of the answer. Failures are problem
documents (RFC 9457) whose `code` is stable; 429 and 503 carry `Retry-After`.
"""


# What any request may meet before a route is found for it, or while it arrives.
_ANYWHERE = (
    InvalidRequestError,
    RequestTimeoutError,
    UriTooLongError,
    ExpectationError,
    HeadTooLargeError,
    ConnectionsError,
    RestartingError,
)


def openapi(
    routes: Sequence[Route], title: str = "Onsale", description: str = _DESCRIPTION
) -> dict[str, Any]:
    """Return the document for these routes."""
    schemas, components = msgspec.json.schema_components(_structs(routes), ref_template=_REFERENCE)
    references = dict(zip(_structs(routes), schemas, strict=True))
    for component in components.values():  # docstrings mark code as docstrings do
        if "description" in component:
            component["description"] = component["description"].replace("``", "`")
    # Further members of a problem depend on its code.
    components["Problem"]["additionalProperties"] = True
    paths: dict[str, Any] = {}
    for route in routes:
        operation = _operation(route, references, components)
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    for route in routes:
        if route.query is not None:  # its fields are parameters; nothing refers to it as a whole
            components.pop(route.query.__name__, None)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": "1", "description": description},
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in routes)],
        "paths": paths,
        "components": {
            "schemas": components,
            "headers": {
                "RequestId": _header("The request's id, as it is in the logs."),
                "RetryAfter": _header("Seconds to wait, where a wait helps.", "integer"),
            },
            "examples": {
                error.code: {"value": describe(error)}
                for route in routes
                for error in errors_of(route)
            },
            "securitySchemes": {
                name: scheme
                for name, scheme in _SCHEMES.items()
                if any(_security(route) == name for route in routes)
            },
        },
    }


def openapi_bytes(document: dict[str, Any]) -> bytes:
    """Return a document as JSON, two spaces an indent."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _security(route: Route) -> str | None:
    return "guest" if route.buyer else "service" if route.service else None


def errors_of(route: Route) -> list[type[OnsaleError]]:
    """Return every error that a route can answer with: its own, and those of its checks."""
    found: list[type[OnsaleError]] = list(route.errors)
    if _security(route) is not None:
        found.append(UnauthorizedError)
    if route.recorded:
        found.append(ActorError)
    if route.idempotency != "ignored":
        found += [IdempotencyKeyError, IdempotencyMismatchError]
    if route.body is not None:
        found += [InvalidRequestError, MediaTypeError, ContentEncodingError, BodyTooLargeError]
    if route.query is not None:
        found.append(InvalidRequestError)
    if _PARAMETER.search(route.path):  # one that does not look as it should
        found.append(PathUnknownError)
    if route.path.startswith(("/v1/", "/control/")):
        found.append(StoreUnavailableError)
    found += [*_ANYWHERE, UnexpectedError]
    return list(dict.fromkeys(found))


def _structs(routes: Iterable[Route]) -> list[type[msgspec.Struct]]:
    found: dict[type[msgspec.Struct], None] = {Problem: None}
    for route in routes:
        answers = (answer.body for answer in route.answers.values())
        for struct in (route.body, route.query, *answers, *route.messages):
            if struct is not None:
                found[struct] = None
    return list(found)


def _operation(
    route: Route,
    references: dict[type[msgspec.Struct], dict[str, Any]],
    components: dict[str, Any],
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [route.tag],
        "parameters": _parameters(route, components),
        "responses": {
            **{
                str(status): _answer(answer, references) for status, answer in route.answers.items()
            },
            **_failures(route, references),
        },
    }
    if route.description:
        operation["description"] = route.description
    if route.body is not None:
        operation["requestBody"] = {
            "required": not route.body_optional,
            "content": {"application/json": {"schema": references[route.body]}},
        }
    security = _security(route)
    if security is not None:
        operation["security"] = [{security: []}]
    return operation


def _parameters(route: Route, components: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name in _PARAMETER.findall(route.path):
        pattern = f"^{PATTERNS[name]}$"
        found.append(_parameter(name, "path", {"type": "string", "pattern": pattern}))
    if route.idempotency != "ignored":
        schema = {
            "type": "string",
            "minLength": KEY_LENGTH_MIN,
            "maxLength": KEY_LENGTH_MAX,
            "pattern": "^[!-~]+$",
        }
        required = route.idempotency == "required"
        found.append(
            _parameter(IDEMPOTENCY_HEADER, "header", schema, _KEY_DESCRIPTION, required=required)
        )
    if route.recorded:
        schema = {"type": "string", "pattern": ACTOR_PATTERN}
        found.append(_parameter(ACTOR_HEADER, "header", schema, _ACTOR_DESCRIPTION))
    for name, description in route.headers.items():
        found.append(_parameter(name, "header", {"type": "string"}, description, required=False))
    if route.query is not None:
        struct = components[route.query.__name__]
        for name, schema in struct["properties"].items():
            required = name in struct.get("required", ())
            found.append(_parameter(name, "query", schema, required=required))
    return found


def _parameter(
    name: str, place: str, schema: dict[str, Any], description: str = "", *, required: bool = True
) -> dict[str, Any]:
    found = {"name": name, "in": place, "required": required, "schema": schema}
    return {**found, "description": description} if description else found


def _header(description: str, kind: str = "string") -> dict[str, Any]:
    return {"description": description, "schema": {"type": kind}}


def _answer(
    answer: Answer, references: dict[type[msgspec.Struct], dict[str, Any]]
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "description": answer.description,
        "headers": {
            REQUEST_ID_HEADER: {"$ref": "#/components/headers/RequestId"},
            **{name: _header(text) for name, text in answer.headers.items()},
        },
    }
    if answer.body is not None:
        found["content"] = {"application/json": {"schema": references[answer.body]}}
    elif answer.media_type is not None:
        kind = "object" if answer.media_type == "application/json" else "string"
        found["content"] = {answer.media_type: {"schema": {"type": kind}}}
    return found


def _failures(
    route: Route, references: dict[type[msgspec.Struct], dict[str, Any]]
) -> dict[str, Any]:
    by_status: dict[int, list[type[OnsaleError]]] = {}
    for error in errors_of(route):
        by_status.setdefault(error.status, []).append(error)
    found = {}
    for status, errors in sorted(by_status.items()):
        headers = {REQUEST_ID_HEADER: {"$ref": "#/components/headers/RequestId"}}
        if status in _RETRY_STATUSES or any(error.may_retry for error in errors):
            headers["Retry-After"] = {"$ref": "#/components/headers/RetryAfter"}
        found[str(status)] = {
            "description": "; ".join(f"`{error.code}`: {error.title}" for error in errors),
            "headers": headers,
            "content": {
                CONTENT_TYPE: {
                    "schema": references[Problem],
                    "examples": {
                        error.code: {"$ref": f"#/components/examples/{error.code}"}
                        for error in errors
                    },
                }
            },
        }
    return found
