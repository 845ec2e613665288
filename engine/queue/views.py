"""The line as buyers see it.

Times are ``*_in_ms`` from the answer on, so that a buyer's wrong clock does no
harm; while the sale is paused they stand still.
"""

from __future__ import annotations

import random
from typing import Any, Literal

import msgspec

from engine.core.times import rfc3339
from engine.queue.documents import Draw
from engine.queue.live import forecast
from engine.queue.live.board import Board
from engine.queue.live.forecast import Eta
from engine.queue.live.serving import LeftView

PlaceState = Literal["pre-queue", "waiting", "called", "inside", "done", "expired", "closed"]

_CALLED_ASK_MS = 2_000  # one who is called has minutes to come, and a socket tells him sooner
_INSIDE_ASK_MS = 10_000  # only the time left changes
_OVER_ASK_MS = 30_000

_random = random.Random()  # noqa: S311 - spreads requests over time, protects nothing


class QueueView(msgspec.Struct, kw_only=True, gc=False):
    """A buyer's place. ``number``: from 1, once drawn or given; ``ahead``: still to be called.

    ``chance``: of getting tickets, in percent. ``left``: what is on sale.
    ``claim_in_ms``: until when one who is called may enter; ``leave_in_ms``:
    until when one inside may shop. ``ask_in_ms``: when to ask again.
    ``roster_index``: the place in the order of joining, from 0, for checking the draw.
    """

    occurrence: str
    state: PlaceState
    number: int | None
    ahead: int | None
    eta: Eta | None
    chance: int | None
    left: list[LeftView]
    currency: str
    sold_out: bool
    paused: bool
    opens_in_ms: int | None
    claim_in_ms: int | None
    leave_in_ms: int | None
    ask_in_ms: int
    roster_index: int | None


class DrawView(msgspec.Struct, kw_only=True):
    """What makes the draw verifiable; all but the commitment is null until it is drawn.

    ``commitment``: SHA-256 of the seed; ``digest``: SHA-256 of the roster of ``n``
    leaves; ``seed``: 32 bytes. All in hex.
    """

    occurrence: str
    commitment: str
    algorithm: str
    drawn: bool
    n: int | None
    digest: str | None
    seed: str | None
    drawn_at: str | None


ALGORITHM = (
    "key = HMAC-SHA-256(seed, digest); number = 1 + P(index): P is a 12-round Feistel network over "
    "a*a >= n values, a the smallest such, walked until it is below n; round r adds "
    "SHA-256(key || 'r right')[0:8] modulo a"
)


def draw_view(occurrence: str, draw: Draw) -> DrawView:
    """Return the draw without what is still secret."""
    drawn = draw.digest != ""
    return DrawView(
        occurrence=occurrence,
        commitment=draw.commitment,
        algorithm=ALGORITHM,
        drawn=drawn,
        n=draw.n if drawn else None,
        digest=draw.digest if drawn else None,
        seed=draw.seed if drawn else None,
        drawn_at=rfc3339(draw.drawn_at) if drawn else None,
    )


def place_view(board: Board, index: int, served: int, called: list[Any] | None) -> QueueView:
    """Return a place as its buyer sees it.

    ``index``, ``served``, ``called``: of the answer of ``queue_look``; ``called`` is
    needed when the place's number is among the served.
    """
    number = board.number(index)
    if number is None:
        return _pre_queue(board)
    if number > served:
        if board.closed:
            return _view(board, "closed", number, index, _OVER_ASK_MS)
        return _waiting(board, number, index, number - served - 1)
    return _called(board, number, index, called or [0, 0, 0, b"", 0])


def _called(board: Board, number: int, index: int, called: list[Any]) -> QueueView:
    deadline, pass_number, until, how, now = called
    if pass_number == number and how == b"" and until > now:
        view = _view(board, "inside", number, index, _INSIDE_ASK_MS)
        view.leave_in_ms = until - now
        view.ask_in_ms = min(view.ask_in_ms, view.leave_in_ms + 500)
        return view
    if pass_number == number:
        return _view(board, "done" if how == b"done" else "expired", number, index, _OVER_ASK_MS)
    if deadline > now and not board.closed:
        view = _view(board, "called", number, index, _CALLED_ASK_MS)
        view.claim_in_ms = deadline - now
        return view
    return _view(board, "closed" if board.closed else "expired", number, index, _OVER_ASK_MS)


def _pre_queue(board: Board) -> QueueView:
    opens_in_ms = board.opens_in_ms
    view = _view(board, "closed" if board.closed else "pre-queue", None, None, _OVER_ASK_MS)
    view.opens_in_ms = opens_in_ms
    view.chance = board.chance_before_draw()
    view.ask_in_ms = forecast.ask_before_opening_ms(opens_in_ms, _random.random())
    return view


def _waiting(board: Board, number: int, index: int, ahead: int) -> QueueView:
    eta = board.eta(ahead)
    likely = None if eta is None else eta.likely_ms
    view = _view(
        board, "waiting", number, index, forecast.ask_in_ms(ahead, likely, _random.random())
    )
    view.ahead = ahead
    view.eta = eta
    view.chance = board.chance(ahead)
    return view


def _view(
    board: Board, state: PlaceState, number: int | None, index: int | None, ask_in_ms: int
) -> QueueView:
    serving = board.serving
    return QueueView(
        occurrence=board.occurrence,
        state=state,
        number=number,
        ahead=None,
        eta=None,
        chance=None,
        left=serving.left,
        currency=serving.currency,
        sold_out=serving.sold_out,
        paused=board.paused,
        opens_in_ms=None,
        claim_in_ms=None,
        leave_in_ms=None,
        ask_in_ms=ask_in_ms,
        roster_index=None if index is None else board.slot(index),
    )
