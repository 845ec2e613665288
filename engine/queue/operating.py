"""The line as operators see it, and what they do to it: recorded, with who did it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import msgspec

from engine.core.times import rfc3339
from engine.queue.documents import Queue, QueuePhase
from engine.queue.live.board import Board
from engine.sale.service import Sale

Step = Literal["open", "pause", "resume", "drain", "close", "on", "off"]
STEPS: tuple[Step, ...] = get_args(Step)


class LineView(msgspec.Struct, kw_only=True):
    """All figures of a line.

    ``rate`` people are called every ``rate_ms`` at most, while fewer than ``cap``
    are inside or called. ``claim_ms``: to enter once called; ``shop_ms``: to shop
    once inside. ``places``: given out so far, ``drawn`` of them in the draw
    (null: it is still to come), ``slow`` behind it in the slow lane.
    ``serving``: numbers called so far; ``called``: of them those who may still
    enter. ``entered``, ``done``, ``no_shows``, ``gone``: totals of passes given,
    of passes used, of called people who did not come, of places given up.
    ``calls_per_minute``: lately. ``paused``: the sale clock stands still.
    """

    occurrence: str
    on: bool
    phase: QueuePhase
    paused: bool
    opens_at: str
    opens_in_ms: int
    pre_queue_ms: int
    rate: int
    rate_ms: int
    cap: int
    claim_ms: int
    shop_ms: int
    places: int
    drawn: int | None
    slow: int
    serving: int
    called: int
    inside: int
    entered: int
    done: int
    no_shows: int
    gone: int
    calls_per_minute: int


async def read_line(sale: Sale, occurrence: str) -> LineView:
    """Return how the line is this moment.

    Raises ``OccurrenceUnknownError``, ``StoreUnavailableError``.
    """
    board = await sale.waiting.boards.get(occurrence, newest=True)
    return _view(board, board.queue, paused=board.paused)


async def take_step(sale: Sale, occurrence: str, actor: str, step: Step) -> LineView:
    """Do it, and return the line after it. ``actor``: 1 to 100 visible characters.

    Raises ``OccurrenceUnknownError``, ``ConflictError``, ``InvalidRequestError``,
    ``OverloadedError``, ``StoreUnavailableError``.
    """
    if step == "pause":
        await sale.pause(occurrence, actor)
    elif step == "resume":
        await sale.resume(occurrence, actor)
    else:
        return await _command(sale, occurrence, actor, step, {})
    board = await sale.waiting.boards.get(occurrence, newest=True)
    return _view(board, board.queue, paused=step == "pause")


async def change_line(
    sale: Sale, occurrence: str, actor: str, values: Mapping[str, int]
) -> LineView:
    """Change some of ``rate``, ``rate_ms``, ``cap``, ``claim_ms``, ``shop_ms``; raises as above."""
    return await _command(sale, occurrence, actor, "set", values)


async def _command(
    sale: Sale, occurrence: str, actor: str, command: str, values: Mapping[str, int]
) -> LineView:
    queue = await sale.waiting.command(occurrence, actor, command, values)
    board = await sale.waiting.boards.get(occurrence, newest=True)
    return _view(board, queue, paused=board.paused)


def _view(board: Board, queue: Queue, *, paused: bool) -> LineView:
    """Return the view of a queue that may be newer than the board: its reading was under way."""
    return LineView(
        occurrence=board.occurrence,
        on=queue.on,
        phase=queue.phase,
        paused=paused,
        opens_at=rfc3339(queue.opens),
        opens_in_ms=max(queue.opens - board.wall_ms, 0),
        pre_queue_ms=queue.pre_ms,
        rate=queue.rate,
        rate_ms=queue.rate_ms,
        cap=queue.cap,
        claim_ms=queue.claim_ms,
        shop_ms=queue.shop_ms,
        places=queue.count,
        drawn=queue.drawn if queue.drawn >= 0 else None,
        slow=queue.slow,
        serving=queue.served,
        called=board.called,
        inside=queue.inside,
        entered=queue.entered,
        done=queue.done,
        no_shows=queue.no_shows,
        gone=queue.gone,
        calls_per_minute=round(board.pace.calls_per_s * 60),
    )
