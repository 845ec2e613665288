"""Routes for machines and operators: health, this interface's description."""

from __future__ import annotations

from engine.app import health
from engine.app.schemas import Alive, Ready
from engine.platform.http import docs_page as docs
from engine.platform.http.route import Answer, Route

ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/health/live",
        name="read_live",
        tag="Operations",
        summary="Does the process live?",
        handler=health.read_live,
        answers={200: Answer(description="It does.", body=Alive)},
    ),
    Route(
        method="GET",
        path="/health/ready",
        name="read_ready",
        tag="Operations",
        summary="Can the process sell?",
        handler=health.read_ready,
        answers={
            200: Answer(description="It can.", body=Ready),
            503: Answer(
                description="The store cannot be reached, or refuses writes.",
                body=Ready,
                headers={"Retry-After": "Seconds to wait."},
            ),
        },
    ),
    Route(
        method="GET",
        path="/openapi.json",
        name="read_openapi",
        tag="Operations",
        summary="This document",
        handler=docs.read_openapi,
        answers={200: Answer(description="OpenAPI 3.1.", media_type="application/json")},
    ),
    Route(
        method="GET",
        path="/docs",
        name="read_docs",
        tag="Operations",
        summary="This document as a page",
        handler=docs.read_docs,
        answers={200: Answer(description="A page.", media_type="text/html")},
    ),
)
