"""``POST /v1/occurrences/{id}/holds`` at the connection."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import hdrs, web
from aiohttp.http import RawRequestMessage
from multidict import istr

from engine.core.tokens import Claims
from engine.platform.http.fast_path.answers import HotRoute, Pending
from engine.platform.http.idempotency import IDEMPOTENCY_HEADER, idempotency
from engine.platform.http.pipeline import check_media_type
from engine.platform.http.problems import CONTENT_TYPE, malformed, problem_body
from engine.platform.valkey.codes import Code, LineCode
from engine.queue.admission.samples import SAMPLES, since
from engine.sale.errors import SoldOutError
from engine.sale.requests import HoldRequest
from engine.sale.state import SALE

_MARK = "THE-REQUEST-ID"
_SOLD_OUT = [Code.LINES, [[0, LineCode.SOLD_OUT, 0]]]  # one line, nothing left
_KEY_HEADER = istr(IDEMPOTENCY_HEADER)


class HotHolds(HotRoute):
    """Answers wishes for a hold, as :func:`engine.sale.holds.endpoints.create_hold` does."""

    def __init__(self, app: web.Application) -> None:
        super().__init__(app, "create_hold", 201)
        self._holds = app[SALE].holds
        self._samples = app[SAMPLES].holds
        self._decode = msgspec.json.Decoder(HoldRequest).decode
        error = SoldOutError(lines=[{"line": 0, "code": "sold_out", "left": 0}])
        self._sold_out = problem_body(error, _MARK).decode().split(_MARK)
        self._sold_out_head = self.answers.head(error.status, CONTENT_TYPE)

    def ask(
        self,
        pending: Pending,
        claims: Claims,
        message: RawRequestMessage,
        raw: bytes,
        connection: web.RequestHandler,
    ) -> None:
        """Check the key and the body, and ask for the hold."""
        del connection
        headers = message.headers
        key = idempotency(headers.get(_KEY_HEADER), hdrs.METH_POST, message.path, raw)
        check_media_type(headers.get(hdrs.CONTENT_TYPE))
        try:
            wanted = self._decode(raw)
        except (ValueError, RecursionError) as error:
            raise malformed(error) from None
        self._holds.request(pending, claims.sub, pending.found, wanted, key, claims.net)

    def finish(self, pending: Pending, result: list[Any]) -> None:
        """Answer a request with what the store has said."""
        if result == _SOLD_OUT:
            pending.answer(self._sold_out_answer(pending))
            self.answers.count(409, pending.began)
            return
        try:
            view = self._holds.view(pending.found, result)
        except IndexError:  # it names what a publication of this moment has added
            self.answers.later(pending, self._holds.newest_view(pending.found, result))
        else:
            self.answers.success(pending, view)
            self._samples.add(pending.buyer, since(pending.began))

    def _sold_out_answer(self, pending: Pending) -> bytes:
        """Return the answer that most get in the end: the same but for the request's id."""
        identifier, date = pending.identifier, self.answers.date(pending.began)
        body = f"{self._sold_out[0]}{identifier}{self._sold_out[1]}"
        head = f"{self._sold_out_head}{identifier}\r\nContent-Length: {len(body)}\r\n{date}\r\n"
        return (head + body).encode()
