"""Routes of holds."""

from __future__ import annotations

from engine.platform.http.route import Answer, Route
from engine.platform.http.schemas import Nothing
from engine.sale.common_routes import COMMAND, HOLD, LINES, OCCURRENCE
from engine.sale.errors import (
    BacklogFullError,
    HoldChangedError,
    HoldEmptyError,
    HoldExistsError,
    HoldExpiredError,
    HoldPauseError,
    HoldUnknownError,
    NotInsideError,
    SalePausedError,
)
from engine.sale.holds import endpoints as holds
from engine.sale.requests import HoldChange, HoldRequest
from engine.sale.views import HoldView

ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path=f"{OCCURRENCE}/holds",
        name="create_hold",
        tag="Holds",
        summary="Hold tickets: all lines, or none",
        handler=holds.create_hold,
        body=HoldRequest,
        buyer=True,
        idempotency="required",
        errors=(
            *COMMAND,
            *LINES,
            HoldExistsError,
            NotInsideError,
            HoldPauseError,
            BacklogFullError,
        ),
        answers={201: Answer(description="The hold, with its prices locked.", body=HoldView)},
    ),
    Route(
        method="GET",
        path=HOLD,
        name="read_hold",
        tag="Holds",
        summary="Read a hold",
        handler=holds.read_hold,
        buyer=True,
        errors=(*COMMAND, HoldUnknownError, HoldExpiredError),
        answers={200: Answer(description="The hold.", body=HoldView)},
    ),
    Route(
        method="PATCH",
        path=HOLD,
        name="change_hold",
        tag="Holds",
        summary="Add and remove tickets: all together, or nothing",
        description=(
            "Adding needs what a new hold needs, a pass where a waiting room is on; removing needs "
            "nothing. What remains has at least the minimum of each ticket type, or none of it."
        ),
        handler=holds.change_hold,
        body=HoldChange,
        buyer=True,
        idempotency="accepted",
        errors=(
            *COMMAND,
            *LINES,
            HoldUnknownError,
            HoldExpiredError,
            HoldChangedError,
            HoldEmptyError,
            NotInsideError,
            BacklogFullError,
        ),
        answers={200: Answer(description="The hold as it is now.", body=HoldView)},
    ),
    Route(
        method="DELETE",
        path=HOLD,
        name="release_hold",
        tag="Holds",
        summary="Give everything back",
        handler=holds.release_hold,
        buyer=True,
        errors=(*COMMAND, HoldUnknownError, HoldExpiredError),
        answers={204: Answer(description="The tickets are on sale again.")},
    ),
    Route(
        method="POST",
        path=f"{HOLD}/extend",
        name="extend_hold",
        tag="Holds",
        summary="Give a hold its full time again, within its longest time",
        handler=holds.extend_hold,
        body=Nothing,
        body_optional=True,
        buyer=True,
        idempotency="required",
        errors=(*COMMAND, HoldUnknownError, HoldExpiredError, SalePausedError),
        answers={200: Answer(description="The hold.", body=HoldView)},
    ),
)
