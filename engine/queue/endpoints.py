"""The waiting room at the edge: places in line, and what is the same for everybody."""

from __future__ import annotations

from aiohttp import web

from engine.core.errors import UnauthorizedError
from engine.platform.http.conditional import etag_of, public_until, shared
from engine.platform.http.pipeline import answer
from engine.platform.http.route import Call
from engine.platform.http.state import LIVE_TICKETS, SETTINGS
from engine.platform.http.websocket.handshake import check_origin
from engine.platform.http.websocket.sockets import Upgrade, listen
from engine.platform.http.websocket.tickets import TICKET_TTL_S
from engine.platform.valkey.used_tickets import use_ticket
from engine.queue.gate.door import check_door
from engine.queue.schemas import LiveTicketView, QueueLiveQuery, RosterQuery
from engine.queue.state import QUEUE_FEEDS
from engine.queue.views import QueueView
from engine.sale.state import SALE

_SERVING_MS = 1_000  # a CDN asks once a second, however many ask it
_BOARD_AGE_MS = 1_000  # as old as a board may be that is answered with
_DRAW_CACHE = "public, max-age=5"  # until the draw
_DRAWN_CACHE = "public, max-age=31536000, immutable"  # a draw is made once
_USED_TICKETS_S = 2 * TICKET_TTL_S  # remembered for longer than any clock lets them live


async def join_queue(call: Call) -> web.Response:
    """Give the buyer a place, or the one that they have."""
    sale, occurrence = call.request.app[SALE], call.path("occurrence")
    budgets = check_door(call, await sale.published(occurrence))
    return answer(await sale.waiting.join(call.buyer, occurrence, budgets))


async def read_place(call: Call) -> web.Response:
    """Answer with the buyer's place."""
    occurrence = call.path("occurrence")
    return answer(await call.request.app[SALE].waiting.status(call.buyer, occurrence))


async def leave_queue(call: Call) -> web.Response:
    """Give the place up, if there is one."""
    await call.request.app[SALE].waiting.leave(call.buyer, call.path("occurrence"))
    return web.Response(status=204)


async def enter_queue(call: Call) -> web.Response:
    """Give a buyer who was called the pass."""
    occurrence = call.path("occurrence")
    return answer(await call.request.app[SALE].waiting.enter(call.buyer, occurrence))


async def create_live_ticket(call: Call) -> web.Response:
    """Answer with a ticket for one live connection."""
    app, occurrence = call.request.app, call.path("occurrence")
    await app[SALE].published(occurrence)
    return answer(
        LiveTicketView(
            ticket=app[LIVE_TICKETS].issue(call.buyer, occurrence),
            expires_in_ms=TICKET_TTL_S * 1000,
        )
    )


async def read_serving(call: Call) -> web.Response:
    """Answer with how the line stands; many askers share one reading and one encoding."""
    board = await call.request.app[SALE].waiting.board(call.path("occurrence"))
    cache = public_until(_SERVING_MS, board.wall_ms + _BOARD_AGE_MS, board.changes_ms)
    return shared(call.request, board.body, etag_of(board.body, board.version), cache)


async def read_draw(call: Call) -> web.Response:
    """Answer with the commitment, and after the draw with all that it takes to check it."""
    view = await call.request.app[SALE].waiting.draw(call.path("occurrence"))
    response = answer(view)
    response.headers["Cache-Control"] = _DRAWN_CACHE if view.drawn else _DRAW_CACHE
    return response


async def read_roster(call: Call) -> web.Response:
    """Answer with leaves of the closed roster, one after the other."""
    query: RosterQuery = call.query
    leaves = await call.request.app[SALE].waiting.roster(
        call.path("occurrence"), query.start, query.count
    )
    return web.Response(
        body=leaves,
        content_type="application/octet-stream",
        headers={"Cache-Control": _DRAWN_CACHE},
    )


async def watch_queue(call: Call) -> web.StreamResponse:
    """Open a connection that is sent how the line stands, and the buyer's own turn."""
    app, request = call.request.app, call.request
    check_origin(request, app[SETTINGS].public_url)
    upgrade = Upgrade(request)
    feeds = app[QUEUE_FEEDS]
    with feeds.sockets.room():
        buyer, view = await _admit(call)
        feed = feeds.of(call.path("occurrence"))
        socket = await upgrade.open(request, feeds.sockets, feed, buyer)
    if socket is not None:
        await listen(socket, feed.join(socket, view, buyer))
    return upgrade


async def _admit(call: Call) -> tuple[str, QueueView]:
    """Return whose ticket it is, and their place. The ticket is used up by that.

    All failures come here, while they still can be plain responses.
    """
    app, occurrence = call.request.app, call.path("occurrence")
    query: QueueLiveQuery = call.query
    ticket = app[LIVE_TICKETS].check(query.ticket, occurrence)
    room = app[SALE].waiting
    view = await room.status(ticket.buyer, occurrence)
    await room.board(occurrence)
    if not await use_ticket(app[SALE].crowd, ticket.used, _USED_TICKETS_S):
        raise UnauthorizedError("This ticket was used: get a new one for every connection")
    return ticket.buyer, view
