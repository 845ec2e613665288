"""The application that buyers use: its routes, and what is opened and closed with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from aiohttp import hdrs, web

from engine.app.assembly import bare_app, metrics_of, with_provider, with_redis, with_sale
from engine.app.health import READINESS, Readiness
from engine.app.routes import ROUTES
from engine.core.clock import FollowedClock
from engine.core.settings import Settings
from engine.core.tasks import end
from engine.core.tokens import TokenSigner
from engine.platform.http.fast_path.answers import HotRoute
from engine.platform.http.fast_path.connection import FAST_PATH, Hot
from engine.platform.http.openapi import openapi, openapi_bytes
from engine.platform.http.state import (
    CLOCK,
    LIVE_TICKETS,
    METRICS,
    OPENAPI,
    REDIS,
    SETTINGS,
    SIGNER,
)
from engine.platform.http.websocket.feeds import Feeds
from engine.platform.http.websocket.tickets import LiveTickets
from engine.platform.telemetry import http_metrics as m
from engine.platform.valkey.clock import with_clock
from engine.queue.admission.reporting import pulse
from engine.queue.admission.samples import SAMPLES, InsideSamples
from engine.queue.gate.door import DOOR, Door
from engine.queue.gate.fast_path import HotJoins, HotPlaces
from engine.queue.live.board import Board
from engine.queue.live.feed import QueueCounts, QueueFeed
from engine.queue.state import QUEUE_COUNTS, QUEUE_FEEDS
from engine.queue.views import QueueView
from engine.sale.holds.fast_path import HotHolds
from engine.sale.inventory.live_map import Feed
from engine.sale.inventory.live_reader import PictureReader
from engine.sale.inventory.seat_maps import SeatMaps
from engine.sale.state import FEEDS, SALE, SEAT_MAPS

_SAMPLE_S = 1.0  # scrapes come every 10 s or so


def make_metrics(processes: int = 1) -> m.Metrics:
    """Return the metrics of an installation; with several processes, make them before the fork."""
    return metrics_of(ROUTES, processes)


def _fast_path(app: web.Application) -> Hot:
    """Return the requests of buyers that come in crowds."""
    routes: dict[tuple[str, str], HotRoute] = {
        (hdrs.METH_POST, "/holds"): HotHolds(app),
        (hdrs.METH_POST, "/queue"): HotJoins(app),
        (hdrs.METH_GET, "/queue"): HotPlaces(app),
    }
    return Hot(routes, app[SALE].known.loaded, app[SETTINGS].body_bytes_max)


def make_app(settings: Settings, metrics: m.Metrics | None = None) -> web.Application:
    """Return the application of one process. Nothing is opened before it starts."""
    app = bare_app(settings, ROUTES, make_metrics() if metrics is None else metrics)
    clock = app[CLOCK] = FollowedClock()
    app[SIGNER] = TokenSigner(settings.token_secret, clock=clock)
    app[LIVE_TICKETS] = LiveTickets(settings.token_secret, clock=clock)
    app[DOOR] = Door(settings, clock)
    app[SAMPLES] = InsideSamples()
    app[FAST_PATH] = _fast_path
    app[OPENAPI] = openapi_bytes(openapi(ROUTES))
    app[SEAT_MAPS] = SeatMaps()
    app[READINESS] = Readiness()
    app[QUEUE_COUNTS] = QueueCounts()
    app.cleanup_ctx.extend(
        [with_redis, with_clock, with_provider, with_sale, _feeds, _samples, pulse]
    )
    app.on_shutdown.append(_close_sockets)
    return app


async def _feeds(app: web.Application) -> AsyncIterator[None]:
    settings, client, sale = app[SETTINGS], app[REDIS], app[SALE]
    interval_s = settings.live_interval_ms / 1000

    def seats(occurrence: str) -> Feed:
        return Feed(PictureReader(client, sale, app[CLOCK], occurrence), interval_s, app[CLOCK])

    def queue(occurrence: str) -> QueueFeed:
        async def read() -> Board:
            return await sale.waiting.board(occurrence)

        async def look(buyers: Sequence[str]) -> list[QueueView | None]:
            return await sale.waiting.statuses(buyers, occurrence)

        return QueueFeed(read, look, interval_s, app[QUEUE_COUNTS])

    app[FEEDS] = Feeds(seats, settings.live_sockets_max, settings.live_sockets_of_one_max)
    app[QUEUE_FEEDS] = Feeds(queue, settings.live_sockets_max)
    yield


async def _close_sockets(app: web.Application) -> None:
    """Part from listeners; it runs before the server waits for requests, theirs included."""
    await asyncio.gather(app[FEEDS].close(), app[QUEUE_FEEDS].close())


async def _samples(app: web.Application) -> AsyncIterator[None]:
    task = asyncio.create_task(_sample(app), name="metrics-samples")
    yield
    await end(task)


async def _sample(app: web.Application) -> None:
    metrics, feeds, sale = app[METRICS], app[FEEDS], app[SALE]
    lines, counts = app[QUEUE_FEEDS], app[QUEUE_COUNTS]
    while True:
        metrics.sample(m.LIVE_SOCKETS, len(feeds.sockets))
        metrics.sample(m.LIVE_DROPPED, feeds.dropped)
        metrics.sample(m.QUEUE_SOCKETS, len(lines.sockets))
        metrics.sample(m.QUEUE_DROPPED, lines.dropped)
        metrics.sample(m.QUEUE_BROADCASTS, counts.broadcasts)
        metrics.sample(m.QUEUE_TOLD, counts.told)
        metrics.sample(m.FLUSHES, sale.batcher.flushes + sale.crowd.flushes)
        metrics.sample(m.COMMANDS, sale.batcher.requests + sale.crowd.requests)
        metrics.sample(m.WAITING, sale.batcher.waiting + sale.crowd.waiting)
        metrics.sample(m.BACKLOG, sale.backlog.length)
        metrics.sample(m.UNREADABLE, len(sale.known.failing))
        metrics.sample(m.WEBHOOKS_FOREIGN, sale.webhooks_foreign)
        metrics.sample(m.WEBHOOKS_UNWANTED, sale.webhooks_unwanted)
        await asyncio.sleep(_SAMPLE_S)
