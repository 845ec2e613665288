"""Routes of what is on sale: events and occurrences."""

from __future__ import annotations

from engine.catalogue.public import endpoints as occurrences
from engine.core.errors import NotFoundError
from engine.platform.http.route import Answer, Route
from engine.platform.http.schemas import PageQuery
from engine.platform.valkey.errors import OverloadedError
from engine.sale.common_routes import OCCURRENCE
from engine.sale.errors import OccurrenceUnknownError
from engine.sale.inventory.schemas import EventPage, EventView, OccurrencePage, OccurrenceView

ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/v1/events",
        name="list_events",
        tag="What is on sale",
        summary="List events",
        handler=occurrences.list_events,
        query=PageQuery,
        errors=(NotFoundError,),
        answers={
            200: Answer(
                description="Events, the next one first; those over are last.", body=EventPage
            )
        },
    ),
    Route(
        method="GET",
        path="/v1/events/{event}",
        name="read_event",
        tag="What is on sale",
        summary="Read an event by its slug or id",
        handler=occurrences.read_event,
        errors=(NotFoundError,),
        answers={200: Answer(description="The event.", body=EventView)},
    ),
    Route(
        method="GET",
        path="/v1/occurrences",
        name="list_occurrences",
        tag="What is on sale",
        summary="List published occurrences",
        handler=occurrences.list_occurrences,
        query=PageQuery,
        errors=(NotFoundError,),
        answers={
            200: Answer(
                description="Occurrences, the next one first; those over are last.",
                body=OccurrencePage,
            )
        },
    ),
    Route(
        method="GET",
        path=OCCURRENCE,
        name="read_occurrence",
        tag="What is on sale",
        summary="Read an occurrence: ticket types, prices, limits, fees",
        handler=occurrences.read_occurrence,
        errors=(OccurrenceUnknownError, OverloadedError),
        answers={200: Answer(description="The occurrence.", body=OccurrenceView)},
    ),
)
