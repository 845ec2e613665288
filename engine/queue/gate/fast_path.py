"""``POST`` and ``GET /v1/occurrences/{id}/queue`` at the connection: joining, and asking again."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import hdrs, web
from aiohttp.http import RawRequestMessage

from engine.core.tokens import Claims
from engine.platform.http.fast_path.answers import HotRoute, Pending
from engine.platform.http.pipeline import check_media_type
from engine.platform.http.problems import malformed
from engine.queue.gate.door import DOOR
from engine.queue.schemas import JoinRequest
from engine.sale.state import SALE


class HotPlaces(HotRoute):
    """Answers buyers who ask for their place, as :func:`engine.queue.endpoints.read_place` does."""

    def __init__(self, app: web.Application) -> None:
        super().__init__(app, "read_place", 200)
        self._room = app[SALE].waiting

    def ask(
        self,
        pending: Pending,
        claims: Claims,
        message: RawRequestMessage,
        raw: bytes,
        connection: web.RequestHandler,
    ) -> None:
        """Ask for the place."""
        del message, raw, connection
        self._room.look(pending, claims.sub, pending.found)

    def finish(self, pending: Pending, result: list[Any]) -> None:
        """Answer with the place; one that was called takes another look."""
        view = self._room.waiting_view(pending.found, result)
        if view is None:
            found = self._room.view(pending.found, pending.buyer, result)
            self.answers.later(pending, found)
        else:
            self.answers.success(pending, view)


class HotJoins(HotRoute):
    """Answers buyers who join, as :func:`engine.queue.endpoints.join_queue` does."""

    def __init__(self, app: web.Application) -> None:
        super().__init__(app, "join_queue", 200)
        self._room = app[SALE].waiting
        self._door = app[DOOR]
        self._decode = msgspec.json.Decoder(JoinRequest).decode

    def ask(
        self,
        pending: Pending,
        claims: Claims,
        message: RawRequestMessage,
        raw: bytes,
        connection: web.RequestHandler,
    ) -> None:
        """Check the body and the proof of work, and ask for a place."""
        headers = message.headers
        if raw:
            check_media_type(headers.get(hdrs.CONTENT_TYPE))
        try:
            wanted = self._decode(raw or b"{}")
        except (ValueError, RecursionError) as error:
            raise malformed(error) from None
        published, door = pending.found, self._door
        door.check(wanted.challenge, claims.sub, published.snapshot.occurrence)
        peer = connection.peername
        remote = peer[0] if isinstance(peer, tuple) else None
        forwarded = headers.getall(hdrs.X_FORWARDED_FOR, ())
        pending.more = door.budgets(door.address(remote, forwarded))
        self._room.ask_to_join(pending, claims.sub, published, pending.more)

    def finish(self, pending: Pending, result: list[Any]) -> None:
        """Answer with the place; one that was called takes another look, or another place."""
        view = self._room.waiting_view(pending.found, result)
        if view is None:
            joined = self._room.joined(pending.found, pending.buyer, result, pending.more)
            self.answers.later(pending, joined)
        else:
            self.answers.success(pending, view)
