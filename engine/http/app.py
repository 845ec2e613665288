"""The application: routes, the one middleware, and what is opened and closed with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web

from engine.core.errors import OnsaleError
from engine.core.logs import REQUEST_ID
from engine.core.tasks import end
from engine.core.tokens import TokenSigner
from engine.http import metrics as m
from engine.http.endpoints import endpoint
from engine.http.headers import REQUEST_ID_HEADER, request_id, security_headers
from engine.http.live import Feed
from engine.http.live_feeds import Feeds
from engine.http.openapi import openapi_bytes
from engine.http.pictures import PictureReader
from engine.http.problems import http_error, problem_response, unexpected
from engine.http.route import PATTERNS
from engine.http.routes import ROUTES
from engine.http.seat_maps import SeatMaps
from engine.http.state import (
    FEEDS,
    METRICS,
    OPENAPI,
    PROVIDER,
    REDIS,
    SALE,
    SEAT_MAPS,
    SETTINGS,
    SIGNER,
)
from engine.payments.stripe import StripeProvider
from engine.sale.service import Sale
from engine.settings import Settings
from engine.store.client import connect

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

UNROUTED = "none"  # the route's label in metrics when no route was found
_SAMPLE_S = 1.0  # scrapes come every 10 s or so


def make_metrics(processes: int = 1) -> m.Metrics:
    """Return the metrics of an installation; with several processes, make them before the fork."""
    return m.Metrics([*(route.name for route in ROUTES), UNROUTED], processes)


def make_app(settings: Settings, metrics: m.Metrics | None = None) -> web.Application:
    """Return the application of one process. Nothing is opened before it starts."""
    app = web.Application(
        middlewares=[_edge_middleware(settings)], client_max_size=settings.body_bytes_max
    )
    app[SETTINGS] = settings
    app[SIGNER] = TokenSigner(settings.token_secret)
    app[METRICS] = make_metrics() if metrics is None else metrics
    app[OPENAPI] = openapi_bytes(ROUTES)
    app[SEAT_MAPS] = SeatMaps()
    for route in ROUTES:
        app.router.add_route(
            route.method, _aiohttp_path(route.path), endpoint(route), name=route.name
        )
    app.cleanup_ctx.extend([_redis, _provider, _sale, _feeds, _samples])
    app.on_shutdown.append(_close_sockets)
    return app


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


async def _redis(app: web.Application) -> AsyncIterator[None]:
    app[REDIS] = connect(app[SETTINGS].redis_url)
    yield
    await app[REDIS].aclose()


async def _provider(app: web.Application) -> AsyncIterator[None]:
    settings = app[SETTINGS]
    app[PROVIDER] = StripeProvider(
        secret_key=settings.stripe_secret_key,
        publishable_key=settings.stripe_publishable_key,
        webhook_secret=settings.stripe_webhook_secret,
        api_base=settings.stripe_api_base,
        timeout_s=settings.provider_timeout_s,
    )
    yield
    await app[PROVIDER].close()


async def _sale(app: web.Application) -> AsyncIterator[None]:
    app[SALE] = Sale(app[SETTINGS], app[REDIS], app[PROVIDER])
    await app[SALE].start()
    yield
    await app[SALE].stop()


async def _feeds(app: web.Application) -> AsyncIterator[None]:
    settings, client, sale = app[SETTINGS], app[REDIS], app[SALE]

    def make(occurrence: str) -> Feed:
        return Feed(PictureReader(client, sale, occurrence), settings.live_interval_ms / 1000)

    app[FEEDS] = Feeds(make, settings.live_sockets_max)
    yield


async def _close_sockets(app: web.Application) -> None:
    """Part from listeners; it runs before the server waits for requests, theirs included."""
    await app[FEEDS].close()


async def _samples(app: web.Application) -> AsyncIterator[None]:
    task = asyncio.create_task(_sample(app), name="metrics-samples")
    yield
    await end(task)


async def _sample(app: web.Application) -> None:
    metrics, feeds, sale = app[METRICS], app[FEEDS], app[SALE]
    while True:
        metrics.sample(m.LIVE_SOCKETS, feeds.sockets)
        metrics.sample(m.LIVE_DROPPED, feeds.dropped)
        metrics.sample(m.FLUSHES, sale.batcher.flushes)
        metrics.sample(m.COMMANDS, sale.batcher.requests)
        metrics.sample(m.WAITING, sale.batcher.waiting)
        metrics.sample(m.BACKLOG, sale.backlog.length)
        await asyncio.sleep(_SAMPLE_S)
