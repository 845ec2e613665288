"""The request's way: parameters, key, idempotency, fault, work, journal, webhooks, answer."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import msgspec
from aiohttp import web

from devkit.stripe import faults, forms, idempotency, pages
from devkit.stripe.book import Book
from devkit.stripe.call import Call
from devkit.stripe.disputes import Disputes
from devkit.stripe.errors import ApiError, invalid, server_error
from devkit.stripe.events import Events
from devkit.stripe.forms import Pairs, Params
from devkit.stripe.ids import token
from devkit.stripe.intents import Intents
from devkit.stripe.keys import Keys
from devkit.stripe.methods import Methods
from devkit.stripe.objects import SavedAnswer
from devkit.stripe.refunds import Refunds
from devkit.stripe.render import public_intent
from devkit.stripe.state import API_VERSION
from devkit.stripe.webhooks import Webhooks

_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key, Stripe-Version",
    "Access-Control-Max-Age": "300",
}
_REQUEST_ID_LENGTH = 14

Endpoint = Callable[[Call], bytes]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class _Result(NamedTuple):
    status: int
    body: bytes
    headers: Mapping[str, str] = MappingProxyType({})
    saved: bool = True  # kept under the idempotency key


def _error(error: ApiError) -> _Result:
    return _Result(error.status, error.body(), error.headers, error.saved)


class Server:
    """Serves the API; :meth:`routes` is what the application mounts."""

    def __init__(
        self, book: Book, webhooks: Webhooks, waiting_faults: faults.Faults, keys: Keys
    ) -> None:
        self._book = book
        self._state = book.state
        self._webhooks = webhooks
        self._faults = waiting_faults
        self._keys = keys
        self._methods = Methods(book.state)
        self._intents = Intents(book.state, self._methods)
        self.refunds = Refunds(book.state)
        self._disputes = Disputes(book.state)
        self._events = Events(book.state)
        self.calls: Counter[str] = Counter()  # by method and route, as they came in

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the API and of the 3-D Secure page."""
        intents, methods, refunds = self._intents, self._methods, self.refunds
        return [
            self._post("payment_intents", intents.create),
            self._post("payment_intents/{id}/confirm", intents.confirm, public=True),
            self._get("payment_intents/{id}", intents.retrieve, public=True),
            self._get("payment_intents", intents.list),
            self._post("payment_intents/{id}/cancel", intents.cancel),
            self._post("payment_intents/{id}/capture", intents.capture),
            self._post("payment_intents/{id}", intents.update),
            self._post("payment_methods", methods.create, public=True),
            self._get("payment_methods/{id}", methods.retrieve),
            self._post("refunds", refunds.create),
            self._get("refunds/{id}", refunds.retrieve),
            self._get("refunds", refunds.list),
            self._get("charges/{id}", refunds.retrieve_charge),
            self._get("charges", refunds.list_charges),
            self._get("disputes/{id}", self._disputes.retrieve),
            self._get("disputes", self._disputes.list),
            self._get("balance_transactions/{id}", refunds.retrieve_transaction),
            self._get("events/{id}", self._events.retrieve),
            self._get("events", self._events.list),
            web.get("/3ds/{id}/{challenge}", self._challenge_page),
            web.post("/3ds/{id}/{challenge}", self._challenge_decision),
            web.options("/v1/{tail:.*}", _preflight),
            web.route("*", "/v1/{tail:.*}", _unknown),
        ]

    def _get(self, path: str, endpoint: Endpoint, *, public: bool = False) -> web.RouteDef:
        handler = self._handler(f"/v1/{path}", endpoint, public=public)
        return web.get(f"/v1/{path}", handler, allow_head=False)

    def _post(self, path: str, endpoint: Endpoint, *, public: bool = False) -> web.RouteDef:
        return web.post(f"/v1/{path}", self._handler(f"/v1/{path}", endpoint, public=public))

    def _handler(self, path: str, endpoint: Endpoint, *, public: bool) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            request_id = f"req_{token(_REQUEST_ID_LENGTH)}"
            self.calls[f"{request.method} {path}"] += 1
            key = request.headers.get("Idempotency-Key") if request.method == "POST" else None
            try:
                fields = await _fields(request)
                secret = self._keys.is_secret(
                    request.headers.get("Authorization"), fields, public=public
                )
            except ApiError as error:
                return _respond(request, request_id, key, _error(error))
            return await self._serve(request, request_id, key, fields, endpoint, secret=secret)

        return handle

    async def _serve(
        self,
        request: web.Request,
        request_id: str,
        key: str | None,
        fields: Pairs,
        endpoint: Endpoint,
        *,
        secret: bool,
    ) -> web.StreamResponse:
        method, path = request.method, request.path
        scoped, digest = "", ""
        if key is not None:
            scoped = f"{'sk' if secret else 'pk'} {key}"
            digest = idempotency.digest(method, path, fields)
            try:
                saved = self._book.answers.begin(scoped, digest)
            except ApiError as error:
                return _respond(request, request_id, key, _error(error))
            if saved is not None:
                replay = {"Idempotent-Replayed": "true", "Original-Request": saved.request}
                if saved.status >= 500:  # noqa: PLR2004 - the class of server errors in HTTP
                    replay["Stripe-Should-Retry"] = "false"
                return _respond(
                    request, request_id, key, _Result(saved.status, bytes(saved.body), replay)
                )
        try:
            result = await self._before(request)
            if result is None:
                result = self._work(endpoint, fields, request.match_info.get("id", ""), secret)
            after = self._faults.take("after", method, path)
            if after is not None and (failure := faults.answer(after)) is not None:
                result = _error(failure)
            answer: SavedAnswer | None = None
            if key is not None and result.saved:
                answer = SavedAnswer(
                    key=scoped,
                    digest=digest,
                    status=result.status,
                    body=msgspec.Raw(result.body),
                    request=request_id,
                )
            self._book.commit(self._webhooks, request=request_id, key=key, answer=answer)
        finally:
            self._book.answers.end(scoped)
        if after is not None:
            await self._suffer(after, request)
        return _respond(request, request_id, key, result)

    async def _before(self, request: web.Request) -> _Result | None:
        fault = self._faults.take("before", request.method, request.path)
        if fault is None:
            return None
        failure = faults.answer(fault)
        if failure is not None:
            return _error(failure)
        await self._suffer(fault, request)
        return _error(server_error(503)) if fault.mode == "drop" else None

    async def _suffer(self, fault: faults.Fault, request: web.Request) -> None:
        if fault.mode == "hang":
            await self._faults.hang()
        elif fault.mode == "delay":
            await asyncio.sleep(fault.delay_s)
        elif fault.mode == "drop" and request.transport is not None:
            request.transport.abort()

    def _work(self, endpoint: Endpoint, fields: Pairs, item: str, secret: bool) -> _Result:
        try:
            table = forms.decode(fields)
            params = Params(table)
            expand = frozenset(params.words("expand"))
            return _Result(200, endpoint(Call(params, item, secret, expand)))
        except ApiError as error:
            if not secret and "payment_intent" in error.members:
                seen = self._state.intents.get(error.members["payment_intent"]["id"])
                error.members["payment_intent"] = public_intent(seen, self._state)
            return _error(error)

    async def _challenge_page(self, request: web.Request) -> web.Response:
        match = request.match_info
        return pages.show(self._state, match["id"], match["challenge"])

    async def _challenge_decision(self, request: web.Request) -> web.Response:
        match = request.match_info
        try:
            fields = dict(await _fields(request))
            intent = pages.decide(
                self._state, match["id"], match["challenge"], fields.get("outcome")
            )
        except ApiError as error:
            return _respond(request, "", None, _error(error))
        self._book.commit(self._webhooks, request=f"req_{token(_REQUEST_ID_LENGTH)}")
        as_json = "application/json" in request.headers.get("Accept", "")
        return pages.back(intent, self._state, as_json=as_json)


async def _fields(request: web.Request) -> Pairs:
    fields = forms.pairs(request.rel_url.raw_query_string)
    if request.method == "POST" and request.body_exists:
        try:
            text = (await request.read()).decode("utf-8")
        except web.HTTPRequestEntityTooLarge as error:
            raise ApiError(413, "invalid_request_error", "The body is too large") from error
        except UnicodeDecodeError as error:
            raise invalid("The body is not UTF-8") from error
        fields += forms.pairs(text)
    return fields


def _respond(
    request: web.Request, request_id: str, key: str | None, result: _Result
) -> web.Response:
    headers = {
        "Content-Type": "application/json",
        "Request-Id": request_id,
        "Stripe-Version": request.headers.get("Stripe-Version", API_VERSION),
        "Access-Control-Allow-Origin": "*",
        **result.headers,
    }
    if key is not None:
        headers["Idempotency-Key"] = key
    return web.Response(body=result.body, status=result.status, headers=headers)


async def _preflight(request: web.Request) -> web.Response:
    del request
    return web.Response(status=204, headers=_CORS)


async def _unknown(request: web.Request) -> web.Response:
    error = ApiError(
        404,
        "invalid_request_error",
        f"Unrecognized request URL ({request.method}: {request.path})",
    )
    return _respond(request, f"req_{token(_REQUEST_ID_LENGTH)}", None, _error(error))
