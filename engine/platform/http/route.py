"""What a route is: enough to dispatch, to check and to describe it, written down once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
from aiohttp import web

from engine.core.errors import OnsaleError
from engine.core.tokens import Claims
from engine.platform.http.idempotency import Idempotency

ACTOR_HEADER = "X-Actor"
ACTOR_PATTERN = "^[!-~]{1,100}$"  # visible ASCII characters


@dataclass(frozen=True, slots=True)
class Call:
    """A request whose token, key, body and query have been checked as its route demands.

    ``began``: when all of it was there, by the clock that requests are timed by.
    """

    request: web.Request
    began: float
    claims: Claims | None = None
    body: Any = None
    query: Any = None
    key: Idempotency | None = None

    @property
    def buyer(self) -> str:
        """The buyer's id. Only for routes with ``buyer=True``."""
        if self.claims is None:
            raise LookupError("the route does not ask for a buyer")
        return self.claims.sub

    @property
    def network(self) -> str | None:
        """The network that the buyer is of, if it is known. Only for routes with ``buyer=True``."""
        if self.claims is None:
            raise LookupError("the route does not ask for a buyer")
        return self.claims.net

    @property
    def actor(self) -> str:
        """Who the caller says does it. Only for commands of the control API."""
        return self.request.headers[ACTOR_HEADER]

    @property
    def required_key(self) -> Idempotency:
        """The idempotency key. Only for routes with ``idempotency="required"``."""
        if self.key is None:
            raise LookupError("the route does not ask for an idempotency key")
        return self.key

    def path(self, name: str) -> str:
        """Return a part of the path."""
        return self.request.match_info[name]


Handler = Callable[[Call], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """A success: the struct of its JSON, or the media type of what is no struct, or neither."""

    description: str
    body: type[msgspec.Struct] | None = None
    media_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)  # name -> description


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """One route. ``name`` is its operationId and its label in the metrics.

    ``path`` has parameters in braces; ``PATTERNS`` says what each looks like.
    ``body``: the struct of the JSON body; None: the handler reads the body itself, if any.
    ``messages``: what a WebSocket sends. ``buyer``: a buyer's token is needed;
    ``service``: the control API's, and of commands who does it.
    ``idempotency``: whether the header must, may or does not count.
    """

    method: Literal["GET", "POST", "PATCH", "DELETE"]
    path: str
    name: str
    tag: str
    summary: str
    handler: Handler
    answers: Mapping[int, Answer]
    description: str = ""
    body: type[msgspec.Struct] | None = None
    body_optional: bool = False
    query: type[msgspec.Struct] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)  # further ones it reads
    errors: tuple[type[OnsaleError], ...] = ()
    messages: tuple[type[msgspec.Struct], ...] = ()
    buyer: bool = False
    service: bool = False
    idempotency: Literal["required", "accepted", "ignored"] = "ignored"

    @property
    def recorded(self) -> bool:
        """Whether it is a command of the control API: who does it goes into the record."""
        return self.service and self.method != "GET"


PATTERNS = {  # of the parameters in paths; what does not match is no path
    "occurrence": "[0-9a-f]{32}",
    "hold": "[0-9a-f]{32}",
    "order": "[0-9a-f]{32}",
    "step": "(?:open|pause|resume|drain|close|on|off)",
    "asset": r"[a-z0-9.-]{1,60}\.[0-9a-f]{16}\.(?:js|css)",
    "event": "[a-z0-9][a-z0-9-]{0,99}",
}
