"""The application that operators use, on a listener of its own."""

from __future__ import annotations

from aiohttp import web

from engine.http.health import READINESS, Readiness
from engine.http.metrics_app import EXPOSED
from engine.http.openapi import openapi, openapi_bytes
from engine.http.parts import bare_app, metrics_of, with_provider, with_redis, with_sale
from engine.http.routes.control import CONTROL_ROUTES, DESCRIPTION, TITLE
from engine.http.state import METRICS, OPENAPI
from engine.settings import Settings


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
