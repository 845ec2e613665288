"""What is on sale: events and occurrences, from the snapshots that publication made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from aiohttp import web

from engine.core.errors import NotFoundError
from engine.platform.http.conditional import public_until
from engine.platform.http.pipeline import answer
from engine.platform.http.route import Call
from engine.platform.http.schemas import PageQuery
from engine.platform.http.state import CLOCK
from engine.sale.inventory import stock, views
from engine.sale.inventory.schemas import EventPage, OccurrencePage
from engine.sale.inventory.snapshot import Snapshot
from engine.sale.state import FEEDS, SALE

_LIST_MS = 2_000  # a list is the same for everybody; a browser may keep it while a page is open


async def list_occurrences(call: Call) -> web.Response:
    """Answer with the published occurrences, the next one first."""
    query: PageQuery = call.query
    published = await call.request.app[SALE].occurrences()
    now_ms = call.request.app[CLOCK].ms()
    snapshots = views.listed((one.snapshot for one in published), now_ms)
    start = _start([snapshot.occurrence for snapshot in snapshots], query.cursor)
    page = snapshots[start : start + query.limit]
    more = start + query.limit < len(snapshots)
    free = await _free(call, page)
    return answer(
        OccurrencePage(
            items=[
                views.summary(snapshot, now_ms, free.get(snapshot.occurrence)) for snapshot in page
            ],
            next=page[-1].occurrence if more else None,
        ),
        headers=list_headers(page, now_ms),
    )


async def read_occurrence(call: Call) -> web.Response:
    """Answer with an occurrence, its ticket types and what they cost now."""
    app, occurrence = call.request.app, call.path("occurrence")
    published = await app[SALE].published(occurrence)
    picture = await app[FEEDS].plain(occurrence).picture()
    return answer(
        views.occurrence_view(
            published.snapshot, picture.free, app[CLOCK].ms(), paused=picture.paused
        )
    )


async def list_events(call: Call) -> web.Response:
    """Answer with the events that have published occurrences."""
    query: PageQuery = call.query
    events = await _events(call)
    start = _start([event[0].event for event in events], query.cursor)
    page = events[start : start + query.limit]
    more = start + query.limit < len(events)
    shown = [one for event in page for one in event[: views.EVENT_OCCURRENCES_MAX]]
    free = await _free(call, shown)
    now_ms = call.request.app[CLOCK].ms()
    return answer(
        EventPage(
            items=[views.event_view(event, now_ms, free) for event in page],
            next=page[-1][0].event if more else None,
        ),
        headers=list_headers(shown, now_ms),
    )


async def read_event(call: Call) -> web.Response:
    """Answer with one event, by its slug or its id."""
    name = call.path("event")
    for event in await _events(call):
        if name in {event[0].event_slug, event[0].event}:
            shown = event[: views.EVENT_OCCURRENCES_MAX]
            free = await _free(call, shown)
            now_ms = call.request.app[CLOCK].ms()
            return answer(
                views.event_view(event, now_ms, free), headers=list_headers(shown, now_ms)
            )
    raise NotFoundError("There is no event with this slug on sale: see /v1/events")


async def _events(call: Call) -> list[list[Snapshot]]:
    published = await call.request.app[SALE].occurrences()
    return views.by_event((one.snapshot for one in published), call.request.app[CLOCK].ms())


async def _free(call: Call, snapshots: Sequence[Snapshot]) -> dict[str, dict[str, int]]:
    """Return what is free of each occurrence, as far as it could be read."""
    sale = call.request.app[SALE]
    # one that was withdrawn meanwhile must not hide the others
    published = [sale.known.loaded(snapshot.occurrence) for snapshot in snapshots]
    found = await sale.readings.of([one for one in published if one is not None])
    return {occurrence: reading.free for occurrence, reading in found.items()}


def list_headers(snapshots: Iterable[Snapshot], now_ms: int) -> dict[str, str]:
    """Return for how long a list may be kept: not beyond what the clock changes."""
    changes = (stock.next_change(snapshot, now_ms) for snapshot in snapshots)
    first = min((at for at in changes if at is not None), default=None)
    return {"Cache-Control": public_until(_LIST_MS, now_ms, first)}


def _start(ids: list[str], cursor: str | None) -> int:
    """Return where the page after ``cursor`` begins. Raises ``NotFoundError``."""
    if cursor is None:
        return 0
    if cursor not in ids:
        raise NotFoundError("The page's cursor is not in the list any more: begin anew without it")
    return ids.index(cursor) + 1
