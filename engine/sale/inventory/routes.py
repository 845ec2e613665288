"""Routes of the seat map, what is free on it, and its live connection."""

from __future__ import annotations

from engine.platform.http.common_routes import IF_NONE_MATCH, TAG, UNCHANGED
from engine.platform.http.errors import OriginRefusedError, UpgradeNeededError
from engine.platform.http.route import Answer, Route
from engine.platform.valkey.errors import OverloadedError
from engine.sale.common_routes import OCCURRENCE
from engine.sale.errors import OccurrenceUnknownError
from engine.sale.inventory import endpoints as seats
from engine.sale.inventory.schemas import (
    AvailabilityView,
    LiveChanges,
    LiveQuery,
    LiveSnapshot,
    SeatMapView,
)

ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path=f"{OCCURRENCE}/seat-map",
        name="read_seat_map",
        tag="Seats",
        summary="Read the seat map",
        handler=seats.read_seat_map,
        headers=IF_NONE_MATCH,
        errors=(OccurrenceUnknownError,),
        answers={
            200: Answer(description="The map as published.", body=SeatMapView, headers=TAG),
            304: UNCHANGED,
        },
    ),
    Route(
        method="GET",
        path=f"{OCCURRENCE}/availability",
        name="read_availability",
        tag="Seats",
        summary="Read what is free",
        handler=seats.read_availability,
        headers=IF_NONE_MATCH,
        errors=(OccurrenceUnknownError, OverloadedError),
        answers={
            200: Answer(description="What is free.", body=AvailabilityView, headers=TAG),
            304: UNCHANGED,
        },
    ),
    Route(
        method="GET",
        path=f"{OCCURRENCE}/live",
        name="watch",
        tag="Seats",
        summary="Watch what is free (WebSocket)",
        description=(
            "Connect with a WebSocket. The first message is `LiveSnapshot`, or `LiveChanges` since "
            "`version` if that is not too long ago; then comes a `LiveChanges` whenever something "
            "has changed, several times a second at most. A client that does not read is dropped: "
            "it connects again with the version that it has."
        ),
        handler=seats.watch,
        query=LiveQuery,
        messages=(LiveSnapshot, LiveChanges),
        errors=(
            OccurrenceUnknownError,
            OverloadedError,
            OriginRefusedError,
            UpgradeNeededError,
        ),
        answers={101: Answer(description="The connection is a WebSocket now.")},
    ),
)
