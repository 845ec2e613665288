"""Routes of guests."""

from __future__ import annotations

from engine.accounts import guests
from engine.accounts.schemas import GuestRequest, GuestView
from engine.platform.http.errors import TooManyRequestsError
from engine.platform.http.route import Answer, Route
from engine.platform.valkey.errors import OverloadedError

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
