"""Routes of the control API, in the manner of the public ones."""

from __future__ import annotations

from engine.core.errors import ConflictError
from engine.platform.http.route import Answer, Route
from engine.queue import control
from engine.queue.control import LineChange
from engine.queue.operating import LineView
from engine.sale.common_routes import COMMAND

_QUEUE = "/control/v1/occurrences/{occurrence}/queue"

ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path=_QUEUE,
        name="read_line",
        tag="Waiting room",
        summary="Read all figures of a line",
        handler=control.read_line,
        service=True,
        errors=COMMAND,
        answers={200: Answer(description="The line.", body=LineView)},
    ),
    Route(
        method="PATCH",
        path=_QUEUE,
        name="change_line",
        tag="Waiting room",
        summary="Change the rate, the cap or the times of a line",
        handler=control.change_line,
        body=LineChange,
        service=True,
        errors=COMMAND,
        answers={200: Answer(description="The line as it is now.", body=LineView)},
    ),
    Route(
        method="POST",
        path=f"{_QUEUE}/{{step}}",
        name="take_step",
        tag="Waiting room",
        summary="Open, pause, resume, drain or close a line, or switch the room on or off",
        description=(
            "`open` opens the line now: the pre-queue is drawn, and a line that was drained or "
            "closed goes on. `pause` stops the sale clock: nothing runs out, nobody is called, "
            "until `resume`. `drain` lets nobody join any more; `close` calls nobody any more. "
            "`off` takes the room away: everybody can hold tickets; `on` puts it there, and who "
            "holds tickets keeps them."
        ),
        handler=control.take_step,
        service=True,
        errors=(*COMMAND, ConflictError),
        answers={200: Answer(description="The line as it is now.", body=LineView)},
    ),
)
