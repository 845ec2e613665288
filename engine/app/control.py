"""The application that operators use, on a listener of its own."""

from __future__ import annotations

from aiohttp import web

from engine.app import metrics, operations
from engine.app.assembly import bare_app, metrics_of, with_provider, with_redis, with_sale
from engine.app.health import READINESS, Readiness
from engine.app.metrics import EXPOSED
from engine.core.settings import Settings
from engine.platform.http.openapi import openapi, openapi_bytes
from engine.platform.http.route import Route
from engine.platform.http.state import METRICS, OPENAPI
from engine.queue import control_routes

TITLE = "Onsale control"
DESCRIPTION = """\
What operators do to running sales. Every request carries the service token
(`ONSALE_CONTROL_TOKEN`); every command says in `X-Actor` who does it, and is recorded with that.
Commands may be repeated: done twice is done once. Failures are problem documents (RFC 9457).
"""

CONTROL_ROUTES: tuple[Route, ...] = (
    *control_routes.ROUTES,
    *operations.ROUTES,
    *metrics.ROUTES,
)


def control_openapi() -> bytes:
    """Return the OpenAPI document of the control API."""
    return openapi_bytes(openapi(CONTROL_ROUTES, TITLE, DESCRIPTION))


def make_control_app(settings: Settings) -> web.Application:
    """Return the application. Nothing is opened before it starts."""
    app = bare_app(settings, CONTROL_ROUTES, metrics_of(CONTROL_ROUTES))
    app[OPENAPI] = control_openapi()
    app[EXPOSED] = app[METRICS]
    app[READINESS] = Readiness()
    app.cleanup_ctx.extend([with_redis, with_provider, with_sale])
    return app
