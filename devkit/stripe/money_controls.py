"""Test controls of money: what happens at the provider without anybody calling its API.

| call | does |
|---|---|
| POST /_test/capture | ``{"intent", "amount", "currency"}``: pays, and takes that amount |
| POST /_test/refund | ``{"intent", "amount", "status"}``: refunds, as the dashboard does |
| POST /_test/end_refund | ``{"refund" or "intent", "status"}``: a refund ends, late too |
| POST /_test/next_refunds | ``{"status", "count"}``: how the next refunds of the API begin |
| POST /_test/dispute | ``{"intent", "status", "amount"}``: the buyer's bank disputes |
| POST /_test/end_dispute | ``{"intent", "status"}``: its newest dispute goes on, or ends |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import msgspec
from aiohttp import web
from msgspec import Meta

from devkit.stripe import charging, disputes
from devkit.stripe.amounts import check_currency
from devkit.stripe.book import Book
from devkit.stripe.cards import BY_NAME
from devkit.stripe.errors import ApiError, invalid, missing
from devkit.stripe.ids import new_id
from devkit.stripe.objects import Dispute, Intent, Refund, RefundStatus
from devkit.stripe.refunds import Refunds
from devkit.stripe.webhooks import Webhooks

Amount = Annotated[int, Meta(ge=1, le=99_999_999)]
_CARD = "pm_card_visa"


class _Capture(msgspec.Struct, forbid_unknown_fields=True):
    intent: str
    amount: Amount | None = None
    currency: str = ""


class _Refund(msgspec.Struct, forbid_unknown_fields=True):
    intent: str
    amount: Amount | None = None
    status: RefundStatus = "succeeded"


class _EndRefund(msgspec.Struct, forbid_unknown_fields=True):
    status: RefundStatus
    refund: str = ""
    intent: str = ""
    failure_reason: str = "lost_or_stolen_card"


class _NextRefunds(msgspec.Struct, forbid_unknown_fields=True):
    status: RefundStatus
    count: Annotated[int, Meta(ge=0, le=1_000_000)] = 1


class _Dispute(msgspec.Struct, forbid_unknown_fields=True):
    intent: str
    status: Literal["needs_response", "warning_needs_response"] = "needs_response"
    amount: Amount | None = None


class _EndDispute(msgspec.Struct, forbid_unknown_fields=True):
    intent: str
    status: str


class MoneyControls:
    """See the module."""

    def __init__(self, book: Book, webhooks: Webhooks, refunds: Refunds) -> None:
        self._book = book
        self._state = book.state
        self._webhooks = webhooks
        self._refunds = refunds

    def routes(self) -> list[web.RouteDef]:
        """Return the routes that the application mounts."""
        return [
            self._post("capture", _Capture, self.capture),
            self._post("refund", _Refund, self.refund),
            self._post("end_refund", _EndRefund, self.end_refund),
            self._post("next_refunds", _NextRefunds, self.next_refunds),
            self._post("dispute", _Dispute, self.dispute),
            self._post("end_dispute", _EndDispute, self.end_dispute),
        ]

    def capture(self, intent: str, amount: int | None = None, currency: str = "") -> Intent:
        """Pay an intent with a good card and take ``amount``: less, or more, than it asked for."""
        found = self._state.intents.get(intent, "intent")
        if found.status in {"succeeded", "canceled", "processing"}:
            raise invalid(f"This intent is {found.status}", param="intent")
        found.currency = check_currency(currency) if currency else found.currency
        charging.capture(self._state, found, self._state.method(_CARD), amount, BY_NAME[_CARD])
        self._commit()
        return found

    def refund(
        self, intent: str, amount: int | None = None, status: RefundStatus = "succeeded"
    ) -> Refund:
        """Refund as a person at the dashboard does: nothing in it names an order."""
        charge = disputes.disputed_charge(self._state, intent)
        made = self._refunds.make(charge, amount, status=status, reason=None, metadata={})
        self._commit()
        return made

    def end_refund(
        self, status: RefundStatus, refund: str = "", intent: str = "", failure_reason: str = ""
    ) -> Refund:
        """Let a refund, or an intent's newest that has not failed, go to another status."""
        if not refund:
            alive = [
                item
                for item in self._state.intents.get(intent, "intent").refunds
                if self._state.refunds.get(item).status not in {"failed", "canceled"}
            ]
            if not alive:
                raise missing("refund", intent, "intent")
            refund = alive[-1]
        found = self._state.refunds.get(refund)
        self._refunds.end(found, status, failure_reason or "lost_or_stolen_card")
        self._commit()
        return found

    def next_refunds(self, status: RefundStatus, count: int = 1) -> int:
        """Let the next refunds that the API makes begin with this status."""
        self._refunds.begin_as(status, count)
        return count

    def dispute(
        self, intent: str, status: str = "needs_response", amount: int | None = None
    ) -> Dispute:
        """Let the buyer's bank dispute the intent's charge."""
        charge = disputes.disputed_charge(self._state, intent)
        made = disputes.open_dispute(self._state, charge, status=status, amount=amount)
        self._commit()
        return made

    def end_dispute(self, intent: str, status: str) -> Dispute:
        """Let the newest dispute of an intent go on, or end."""
        found = [item for item in self._state.disputes if item.intent == intent]
        if not found:
            raise missing("dispute", intent, "intent")
        disputes.move(self._state, found[-1], status)
        self._commit()
        return found[-1]

    def _commit(self) -> None:
        self._book.commit(self._webhooks, request=new_id("req"))

    def _post(
        self, name: str, kind: type[msgspec.Struct], act: Callable[..., object]
    ) -> web.RouteDef:
        async def handle(request: web.Request) -> web.Response:
            try:
                asked = msgspec.json.decode(await request.read(), type=kind)
                done = act(**msgspec.structs.asdict(asked))
            except msgspec.MsgspecError as error:
                return _problem(invalid(str(error)))
            except ApiError as error:
                return _problem(error)
            return _json({"done": getattr(done, "id", done)})

        return web.post(f"/_test/{name}", handle)


def _json(document: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(document), content_type="application/json")


def _problem(error: ApiError) -> web.Response:
    return web.Response(body=error.body(), status=error.status, content_type="application/json")
