"""Routes of pages for people."""

from __future__ import annotations

from engine.platform.http import assets
from engine.platform.http.errors import PathUnknownError
from engine.platform.http.route import Answer, Route
from engine.queue import page as waiting_page

_CACHE = {"Cache-Control": "How long it may be kept."}

ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/wait/{occurrence}",
        name="read_waiting_page",
        tag="Pages",
        summary="The waiting room of an occurrence, for people",
        handler=waiting_page.read_waiting_page,
        answers={200: Answer(description="A page.", media_type="text/html", headers=_CACHE)},
    ),
    Route(
        method="GET",
        path="/assets/{asset}",
        name="read_asset",
        tag="Pages",
        summary="A script or a style of a page",
        description="The address changes with the content.",
        handler=assets.read_asset,
        errors=(PathUnknownError,),
        answers={
            200: Answer(description="The file.", media_type="text/javascript", headers=_CACHE)
        },
    ),
)
