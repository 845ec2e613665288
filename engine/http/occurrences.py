"""What is on sale: events and occurrences, from the snapshots that publication made."""

from __future__ import annotations

from aiohttp import web

from engine.core.errors import NotFoundError
from engine.core.snapshot import Snapshot
from engine.http import views
from engine.http.endpoints import answer
from engine.http.route import Call
from engine.http.schemas import EventPage, OccurrencePage, PageQuery
from engine.http.state import CLOCK, FEEDS, SALE

# The list is the same for everybody; a browser may keep it while a page is open.
_LIST_HEADERS = {"Cache-Control": "public, max-age=2"}


async def list_occurrences(call: Call) -> web.Response:
    """Answer with the published occurrences, the next one first."""
    query: PageQuery = call.query
    published = await call.request.app[SALE].occurrences()
    snapshots = sorted((one.snapshot for one in published), key=views.order_of)
    start = _start([snapshot.occurrence for snapshot in snapshots], query.cursor)
    page = snapshots[start : start + query.limit]
    more = start + query.limit < len(snapshots)
    now_ms = call.request.app[CLOCK].ms()
    return answer(
        OccurrencePage(
            items=[views.summary(snapshot, now_ms) for snapshot in page],
            next=page[-1].occurrence if more else None,
        ),
        headers=_LIST_HEADERS,
    )


async def read_occurrence(call: Call) -> web.Response:
    """Answer with an occurrence, its ticket types and what they cost now."""
    app, occurrence = call.request.app, call.path("occurrence")
    published = await app[SALE].published(occurrence)
    picture = await app[FEEDS].plain(occurrence).picture()
    return answer(
        views.occurrence_view(published.snapshot, picture.free, call.request.app[CLOCK].ms())
    )


async def list_events(call: Call) -> web.Response:
    """Answer with the events that have published occurrences."""
    query: PageQuery = call.query
    events = await _events(call)
    start = _start([event[0].event for event in events], query.cursor)
    page = events[start : start + query.limit]
    more = start + query.limit < len(events)
    now_ms = call.request.app[CLOCK].ms()
    return answer(
        EventPage(
            items=[views.event_view(event, now_ms) for event in page],
            next=page[-1][0].event if more else None,
        ),
        headers=_LIST_HEADERS,
    )


async def read_event(call: Call) -> web.Response:
    """Answer with one event, by its slug or its id."""
    name = call.path("event")
    for event in await _events(call):
        if name in {event[0].event_slug, event[0].event}:
            return answer(
                views.event_view(event, call.request.app[CLOCK].ms()), headers=_LIST_HEADERS
            )
    raise NotFoundError("There is no event with this slug on sale: see /v1/events")


async def _events(call: Call) -> list[list[Snapshot]]:
    published = await call.request.app[SALE].occurrences()
    return views.by_event(one.snapshot for one in published)


def _start(ids: list[str], cursor: str | None) -> int:
    """Return where the page after ``cursor`` begins. Raises ``NotFoundError``."""
    if cursor is None:
        return 0
    if cursor not in ids:
        raise NotFoundError("The page's cursor is not in the list any more: begin anew without it")
    return ids.index(cursor) + 1
