"""Test controls under ``/_test/``, JSON in and out. Only the look-alike has them.

| call | does |
|---|---|
| GET /_test/state | how much there is of everything |
| POST /_test/faults | a :class:`~devkit.stripe.faults.Fault`: the next calls fail |
| DELETE /_test/faults | forgets the faults; calls that hang go on |
| GET, POST /_test/webhooks | a :class:`~devkit.stripe.webhooks.Behaviour`; counts |
| POST /_test/redeliver | ``{"event": "evt_..."}``: delivers it once more |
| GET /_test/deliveries | the latest attempts, oldest first, at most 1,000 |
| POST /_test/settle | bank debits and slow refunds end |
| GET, DELETE /_test/calls | how many calls came in, by method and route; counts anew |

Those of single payments are in :mod:`devkit.stripe.money_controls`.
"""

from __future__ import annotations

from collections import Counter
from typing import TypeVar

import msgspec
from aiohttp import web

from devkit.stripe import charging
from devkit.stripe.book import Book
from devkit.stripe.errors import ApiError, invalid
from devkit.stripe.faults import Fault, Faults
from devkit.stripe.ids import new_id
from devkit.stripe.refunds import Refunds
from devkit.stripe.webhooks import Behaviour, Webhooks

T = TypeVar("T")


class _Redelivery(msgspec.Struct, forbid_unknown_fields=True):
    event: str


class Controls:
    """See the module."""

    def __init__(
        self,
        book: Book,
        webhooks: Webhooks,
        faults: Faults,
        refunds: Refunds,
        calls: Counter[str],
    ) -> None:
        self._book = book
        self._state = book.state
        self._webhooks = webhooks
        self._faults = faults
        self._refunds = refunds
        self._calls = calls

    def routes(self) -> list[web.RouteDef]:
        """Return the routes that the application mounts."""
        return [
            web.get("/_test/state", self._counts),
            web.post("/_test/faults", self._add_fault),
            web.delete("/_test/faults", self._clear_faults),
            web.get("/_test/webhooks", self._show_webhooks),
            web.post("/_test/webhooks", self._configure_webhooks),
            web.post("/_test/redeliver", self._redeliver),
            web.get("/_test/deliveries", self._deliveries),
            web.post("/_test/settle", self._settle),
            web.get("/_test/calls", self._show_calls),
            web.delete("/_test/calls", self._clear_calls),
        ]

    def settle(self) -> int:
        """Let every bank debit and refund that takes time end; return how many did."""
        intents = [item for item in self._state.intents if item.status == "processing"]
        refunds = [
            item
            for item in self._state.refunds
            if item.status == "pending" or self._refunds.will_fail(item)
        ]
        for intent in intents:
            charging.settle(self._state, intent)
        for refund in refunds:
            self._refunds.settle(refund)
        self._book.commit(self._webhooks, request=new_id("req"))
        return len(intents) + len(refunds)

    def redeliver(self, event: str) -> None:
        """Deliver an event once more. Raises :class:`ApiError` (404)."""
        self._webhooks.submit(self._state.events.get(event))

    async def _counts(self, request: web.Request) -> web.Response:
        del request
        state = self._state
        kinds = ("intents", "charges", "methods", "refunds", "disputes", "events")
        return _json({kind: len(getattr(state, kind)) for kind in kinds})

    async def _add_fault(self, request: web.Request) -> web.Response:
        try:
            self._faults.add(await _read(request, Fault))
        except ApiError as error:
            return _problem(error)
        except ValueError as error:
            return _problem(invalid(str(error)))
        return _json(list(self._faults))

    async def _clear_faults(self, request: web.Request) -> web.Response:
        del request
        self._faults.clear()
        return _json([])

    async def _show_calls(self, request: web.Request) -> web.Response:
        del request
        return _json(dict(self._calls))

    async def _clear_calls(self, request: web.Request) -> web.Response:
        self._calls.clear()
        return await self._show_calls(request)

    async def _show_webhooks(self, request: web.Request) -> web.Response:
        del request
        return _json(
            {
                "url": self._webhooks.url,
                "behaviour": self._webhooks.behaviour,
                "counts": self._webhooks.counts,
                "waiting": self._webhooks.waiting,
            }
        )

    async def _configure_webhooks(self, request: web.Request) -> web.Response:
        try:
            self._webhooks.configure(await _read(request, Behaviour))
        except ApiError as error:
            return _problem(error)
        return await self._show_webhooks(request)

    async def _redeliver(self, request: web.Request) -> web.Response:
        try:
            self.redeliver((await _read(request, _Redelivery)).event)
        except ApiError as error:
            return _problem(error)
        return await self._show_webhooks(request)

    async def _deliveries(self, request: web.Request) -> web.Response:
        del request
        return _json(list(self._webhooks.log))

    async def _settle(self, request: web.Request) -> web.Response:
        del request
        return _json({"settled": self.settle()})


async def _read(request: web.Request, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except msgspec.MsgspecError as error:
        raise invalid(str(error)) from error


def _json(document: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(document), content_type="application/json")


def _problem(error: ApiError) -> web.Response:
    return web.Response(body=error.body(), status=error.status, content_type="application/json")
