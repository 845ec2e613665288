"""Routes of guests."""

from __future__ import annotations

from engine.core.errors import OverloadedError, TooManyRequestsError
from engine.http import guests
from engine.http.route import Answer, Route
from engine.http.schemas import GuestRequest, GuestView

ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/guests",
        name="create_guest",
        tag="Guests",
        summary="Get a token",
        description=(
            "The token is the buyer: it is needed for holds and orders. Every request makes a new "
            "guest, one that is repeated too; an `Idempotency-Key` does not count here."
        ),
        handler=guests.create_guest,
        body=GuestRequest,
        body_optional=True,
        errors=(OverloadedError, TooManyRequestsError),
        answers={201: Answer(description="A token, valid for a day.", body=GuestView)},
    ),
)
