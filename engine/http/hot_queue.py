"""``POST`` and ``GET /v1/occurrences/{id}/queue`` at the connection: joining, and asking again."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from aiohttp import hdrs, web
from aiohttp.http import RawRequestMessage

from engine.http.door import DOOR
from engine.http.endpoints import authenticate, check_media_type
from engine.http.hot_answers import Answer, HotAnswers, Pending
from engine.http.problems import malformed
from engine.http.queue_schemas import JoinRequest
from engine.http.state import SALE, SIGNER
from engine.sale.occurrences import Published


class HotPlaces:
    """Answers buyers who ask for their place, as :func:`engine.http.queue.read_place` does."""

    def __init__(self, app: web.Application) -> None:
        self.answers = HotAnswers(app, "read_place", 200)
        self._room = app[SALE].waiting
        self._signer = app[SIGNER]

    def begin(
        self,
        published: Published,
        message: RawRequestMessage,
        raw: bytes,
        connection: web.RequestHandler,
        answer: Answer,
    ) -> None:
        """Start to answer; ``answer`` is called once, now or later, with the whole response."""
        del raw, connection
        began = time.perf_counter()
        headers = message.headers
        identifier = self.answers.identifier(headers)
        try:
            claims = authenticate(headers.get(hdrs.AUTHORIZATION), self._signer)
            pending = Pending(self, published, claims.sub, identifier, began, answer)
            self._room.look(pending, claims.sub, published)
        except Exception as error:  # noqa: BLE001 - the last resort: the caller gets no trace
            self.answers.failure(answer, error, identifier, began)

    def finish(self, pending: Pending, result: list[Any]) -> None:
        """Answer a request with what the store has said."""
        view = self._room.waiting_view(pending.published, result)
        if view is None:
            view_later = self._room.view(pending.published, pending.buyer, result)
            self.answers.later(pending, view_later)
        else:
            self.answers.success(pending, view)


class HotJoins:
    """Answers buyers who join, as :func:`engine.http.queue.join_queue` does."""

    def __init__(self, app: web.Application) -> None:
        self.answers = HotAnswers(app, "join_queue", 200)
        self._room = app[SALE].waiting
        self._signer = app[SIGNER]
        self._door = app[DOOR]
        self._decode = msgspec.json.Decoder(JoinRequest).decode

    def begin(
        self,
        published: Published,
        message: RawRequestMessage,
        raw: bytes,
        connection: web.RequestHandler,
        answer: Answer,
    ) -> None:
        """Start to answer; ``answer`` is called once, now or later, with the whole response."""
        began = time.perf_counter()
        headers = message.headers
        identifier = self.answers.identifier(headers)
        try:
            claims = authenticate(headers.get(hdrs.AUTHORIZATION), self._signer)
            if raw:
                check_media_type(headers.get(hdrs.CONTENT_TYPE))
            try:
                wanted = self._decode(raw or b"{}")
            except (ValueError, RecursionError) as error:
                raise malformed(error) from None
            self._door.check(wanted.challenge, claims.sub, published.snapshot.occurrence)
            peer = connection.peername
            remote = peer[0] if isinstance(peer, tuple) else None
            forwarded = headers.getall(hdrs.X_FORWARDED_FOR, ())
            budgets = self._door.budgets(claims, self._door.address(remote, forwarded))
            pending = Pending(self, published, claims.sub, identifier, began, answer, budgets)
            self._room.ask_to_join(pending, claims.sub, published, budgets)
        except Exception as error:  # noqa: BLE001 - the last resort: the caller gets no trace
            self.answers.failure(answer, error, identifier, began)

    def finish(self, pending: Pending, result: list[Any]) -> None:
        """Answer a request with what the store has said."""
        view = self._room.waiting_view(pending.published, result)
        if view is None:  # called, inside or over: this takes another look, or another place
            joined = self._room.joined(pending.published, pending.buyer, result, pending.budgets)
            self.answers.later(pending, joined)
        else:
            self.answers.success(pending, view)
