"""From a route to a handler of aiohttp: the checks that its description promises, in one order.

Token (401), who does it (400), Idempotency-Key (400), media type (415), size (413), body and query
(400).
"""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import hdrs, web
from aiohttp.web_protocol import RequestPayloadError

from engine.core.errors import InvalidRequestError, UnauthorizedError
from engine.core.tokens import Claims, TokenSigner
from engine.platform.http.errors import (
    ActorError,
    ClientGoneError,
    ContentEncodingError,
    MediaTypeError,
)
from engine.platform.http.idempotency import IDEMPOTENCY_HEADER, idempotency
from engine.platform.http.problems import malformed
from engine.platform.http.route import ACTOR_HEADER, ACTOR_PATTERN, Call, Route
from engine.platform.http.state import SETTINGS, SIGNER

Endpoint = Callable[[web.Request], Awaitable[web.StreamResponse]]

_BEARER = "Bearer "
_JSON = "application/json"
_ACTOR = re.compile(ACTOR_PATTERN)
_encoder = msgspec.json.Encoder()


def authenticate(authorization: str | None, signer: TokenSigner) -> Claims:
    """Return who calls, from the Authorization header. Raises :class:`UnauthorizedError`."""
    if authorization is None or not authorization.startswith(_BEARER):
        raise UnauthorizedError("Send Authorization: Bearer and a token from POST /v1/guests")
    return signer.verify(authorization[len(_BEARER) :])


def authenticate_service(authorization: str | None, token: str) -> None:
    """Raise :class:`UnauthorizedError` unless the Authorization header carries the token."""
    expected = f"{_BEARER}{token}".encode()
    # The time that this takes tells nothing about the token.
    if not hmac.compare_digest((authorization or "").encode(errors="replace"), expected):
        raise UnauthorizedError("Send Authorization: Bearer and the token ONSALE_CONTROL_TOKEN")


def check_actor(actor: str | None) -> None:
    """Raise :class:`ActorError` unless a header says who does it."""
    if actor is None or _ACTOR.fullmatch(actor) is None:
        raise ActorError(f"Send {ACTOR_HEADER}: who does it, 1 to 100 visible ASCII characters")


def check_media_type(content_type: str | None) -> None:
    """Raise :class:`MediaTypeError` unless a Content-Type header says JSON."""
    if content_type == _JSON:
        return
    if content_type is None or content_type.partition(";")[0].strip().lower() != _JSON:
        raise MediaTypeError("Send Content-Type: application/json")


async def read_body(request: web.Request) -> bytes:
    """Return the body as it was sent.

    Raises :class:`ContentEncodingError`, :class:`InvalidRequestError` (it is not framed by the
    rules), :class:`RequestTimeoutError`, :class:`RestartingError` and :class:`ClientGoneError`;
    and aiohttp's error when it is too large.
    """
    for coding in request.headers.getall(hdrs.CONTENT_ENCODING, ()):
        if coding.strip().lower() not in {"", "identity"}:
            raise ContentEncodingError("Send the body as it is, without Content-Encoding")
    try:
        return await request.read()
    except RequestPayloadError:
        raise InvalidRequestError("The body is not framed by the rules of HTTP") from None
    except OSError:
        raise ClientGoneError("Send the whole body") from None


def answer(
    body: msgspec.Struct, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    """Return a response with the struct as JSON."""
    return web.Response(
        body=_encoder.encode(body), status=status, content_type=_JSON, headers=headers
    )


def endpoint(route: Route) -> Endpoint:
    """Return the handler that checks what ``route`` demands and then calls its own handler."""
    decode = _decoder(route)

    async def handle(request: web.Request) -> web.StreamResponse:
        headers = request.headers
        claims = None
        if route.buyer:
            claims = authenticate(headers.get(hdrs.AUTHORIZATION), request.app[SIGNER])
        if route.service:
            token = request.app[SETTINGS].control_token
            authenticate_service(headers.get(hdrs.AUTHORIZATION), token)
        if route.recorded:
            check_actor(headers.get(ACTOR_HEADER))
        key, given = None, headers.get(IDEMPOTENCY_HEADER)
        raw = b""
        if decode is not None:
            raw = await read_body(request)
        began = time.perf_counter()
        if route.idempotency == "required" or (
            route.idempotency == "accepted" and given is not None
        ):
            key = idempotency(given, route.method, request.path, raw)
        body = None
        if decode is not None:
            if raw or not route.body_optional:
                check_media_type(headers.get(hdrs.CONTENT_TYPE))
            body = decode(raw)
        query = _query(route, request)
        return await route.handler(
            Call(request=request, began=began, claims=claims, body=body, query=query, key=key)
        )

    return handle


def _decoder(route: Route) -> Callable[[bytes], Any] | None:
    if route.body is None:
        return None
    decoder = msgspec.json.Decoder(route.body)

    def decode(raw: bytes) -> Any:
        if not raw and route.body_optional:
            raw = b"{}"
        try:
            return decoder.decode(raw)
        except (ValueError, RecursionError) as error:
            raise malformed(error) from None

    return decode


def _query(route: Route, request: web.Request) -> Any:
    given = request.rel_url.query
    if route.query is None:
        return None
    if len(given) != len(set(given)):
        raise InvalidRequestError("Give every parameter of the query once", path="$")
    try:
        return msgspec.convert(dict(given), route.query, strict=False)
    except msgspec.ValidationError as error:
        raise malformed(error) from None
