"""What scrapers read, on a listener of its own: metrics are not for the public."""

from __future__ import annotations

from aiohttp import web

from engine.app.assembly import bare_app, metrics_of
from engine.core.settings import Settings
from engine.platform.http.route import Answer, Call, Route
from engine.platform.telemetry.http_metrics import Metrics

EXPOSED = web.AppKey("exposed", Metrics)


async def read_metrics(call: Call) -> web.Response:
    """Answer with all metrics, of all processes of this installation on this machine."""
    return web.Response(
        body=call.request.app[EXPOSED].exposition(),
        headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"},
    )


ROUTES = (
    Route(
        method="GET",
        path="/metrics",
        name="read_metrics",
        tag="Operations",
        summary="Metrics for Prometheus",
        handler=read_metrics,
        answers={200: Answer(description="All metrics.", media_type="text/plain")},
    ),
)


def make_metrics_app(settings: Settings, metrics: Metrics) -> web.Application:
    """Return the application that exposes the metrics of another one."""
    app = bare_app(settings, ROUTES, metrics_of(ROUTES))
    app[EXPOSED] = metrics
    return app
