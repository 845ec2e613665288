"""What every application of the edge is built of: the one middleware, and what it opens."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

from aiohttp import web

from engine.core.errors import OnsaleError
from engine.core.settings import Settings
from engine.payments.state import PROVIDER
from engine.payments.stripe import StripeProvider
from engine.platform.http.connections import Rules, Runner
from engine.platform.http.headers import REQUEST_ID_HEADER, request_id, security_headers
from engine.platform.http.pipeline import endpoint
from engine.platform.http.problems import http_error, problem_response, unexpected
from engine.platform.http.route import PATTERNS, Route
from engine.platform.http.state import METRICS, REDIS, SETTINGS
from engine.platform.open_files import connections_max
from engine.platform.telemetry import http_metrics as m
from engine.platform.telemetry.logs import REQUEST_ID
from engine.platform.valkey.connections import connect
from engine.sale.service import Sale
from engine.sale.state import SALE

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

UNROUTED = "none"  # the route's label in metrics when no route was found


def metrics_of(routes: Iterable[Route], processes: int = 1) -> m.Metrics:
    """Return the metrics of an installation; with several processes, make them before the fork."""
    return m.Metrics([*(route.name for route in routes), UNROUTED], processes)


def bare_app(settings: Settings, routes: Iterable[Route], metrics: m.Metrics) -> web.Application:
    """Return an application with these routes, and nothing that they live on."""
    app = web.Application(
        middlewares=[_edge_middleware(settings)], client_max_size=settings.body_bytes_max
    )
    app[SETTINGS] = settings
    app[METRICS] = metrics
    for route in routes:
        app.router.add_route(
            route.method, _aiohttp_path(route.path), endpoint(route), name=route.name
        )
    return app


def rules_of(settings: Settings, metrics: m.Metrics) -> Rules:
    """Return what holds for the connections of an application with these metrics."""

    def count(status: int) -> None:
        metrics.observe(UNROUTED, status, None)

    return Rules(
        head_s=settings.http_head_s,
        body_s=settings.http_body_s,
        answer_s=settings.http_answer_s,
        idle_s=settings.http_idle_s,
        headers=security_headers(settings.public_url),
        count=count,
        files_max=connections_max(),
    )


def make_runner(app: web.Application, *, shutdown_timeout_s: float | None = None) -> Runner:
    """Return the runner of an application that :func:`bare_app` has made.

    ``shutdown_timeout_s``: another one than that of the settings.
    """
    settings = app[SETTINGS]
    stop_s = settings.http_stop_s if shutdown_timeout_s is None else shutdown_timeout_s
    return Runner(app, rules_of(settings, app[METRICS]), shutdown_timeout_s=stop_s)


def _aiohttp_path(path: str) -> str:
    """Return the path with the patterns of its parameters."""
    for name, pattern in PATTERNS.items():
        path = path.replace(f"{{{name}}}", f"{{{name}:{pattern}}}")
    return path


def _edge_middleware(settings: Settings) -> Callable[..., Awaitable[web.StreamResponse]]:
    always = security_headers(settings.public_url)

    @web.middleware
    async def edge(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Give the request its id, render what it fails with, add the headers, count it."""
        began = time.perf_counter()
        identifier = request_id(request.headers.get(REQUEST_ID_HEADER))
        REQUEST_ID.set(identifier)  # every request runs in a context of its own
        response = await _answered(request, handler, identifier)
        seconds = None
        if not response.prepared:
            seconds = time.perf_counter() - began
            headers = response.headers
            for name, value in always:
                headers.setdefault(name, value)
            headers[REQUEST_ID_HEADER] = identifier
        resource = request.match_info.route.resource
        route = UNROUTED if resource is None else resource.name or UNROUTED
        request.app[METRICS].observe(route, response.status, seconds)
        return response

    return edge


async def _answered(request: web.Request, handler: Handler, identifier: str) -> web.StreamResponse:
    try:
        return await handler(request)
    except OnsaleError as error:
        return problem_response(error, identifier)
    except web.HTTPException as exception:
        problem, headers = http_error(exception)
        return problem_response(problem, identifier, headers)
    except Exception as exception:  # noqa: BLE001 - the last resort: the caller gets no trace
        return problem_response(unexpected(exception), identifier)


async def with_redis(app: web.Application) -> AsyncIterator[None]:
    """Connect while the application runs."""
    app[REDIS] = connect(app[SETTINGS].redis_url)
    yield
    await app[REDIS].aclose()


async def with_provider(app: web.Application) -> AsyncIterator[None]:
    """Have the payment provider while the application runs."""
    app[PROVIDER] = StripeProvider.from_settings(app[SETTINGS])
    yield
    await app[PROVIDER].close()


async def with_sale(app: web.Application) -> AsyncIterator[None]:
    """Have the sale while the application runs; after Redis and the provider."""
    app[SALE] = Sale(app[SETTINGS], app[REDIS], app[PROVIDER])
    await app[SALE].start()
    yield
    await app[SALE].stop()
