"""The application that buyers use: its routes, and what is opened and closed with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from aiohttp import web

from engine.core.clock import FollowedClock
from engine.core.live_tickets import LiveTickets
from engine.core.tasks import end
from engine.core.tokens import TokenSigner
from engine.http import metrics as m
from engine.http.clock import with_clock
from engine.http.door import DOOR, Door
from engine.http.health import READINESS, Readiness
from engine.http.live import Feed
from engine.http.live_feeds import Feeds
from engine.http.openapi import openapi, openapi_bytes
from engine.http.parts import bare_app, metrics_of, with_provider, with_redis, with_sale
from engine.http.pictures import PictureReader
from engine.http.pulse import pulse
from engine.http.queue_live import QueueCounts, QueueFeed
from engine.http.routes import ROUTES
from engine.http.samples import SAMPLES, InsideSamples
from engine.http.seat_maps import SeatMaps
from engine.http.state import (
    CLOCK,
    FEEDS,
    LIVE_TICKETS,
    METRICS,
    OPENAPI,
    QUEUE_COUNTS,
    QUEUE_FEEDS,
    REDIS,
    SALE,
    SEAT_MAPS,
    SETTINGS,
    SIGNER,
)
from engine.sale.waiting.board import Board
from engine.sale.waiting.views import QueueView
from engine.settings import Settings

_SAMPLE_S = 1.0  # scrapes come every 10 s or so


def make_metrics(processes: int = 1) -> m.Metrics:
    """Return the metrics of an installation; with several processes, make them before the fork."""
    return metrics_of(ROUTES, processes)


def make_app(settings: Settings, metrics: m.Metrics | None = None) -> web.Application:
    """Return the application of one process. Nothing is opened before it starts."""
    app = bare_app(settings, ROUTES, make_metrics() if metrics is None else metrics)
    clock = app[CLOCK] = FollowedClock()
    app[SIGNER] = TokenSigner(settings.token_secret, clock=clock)
    app[LIVE_TICKETS] = LiveTickets(settings.token_secret, clock=clock)
    app[DOOR] = Door(settings, clock)
    app[SAMPLES] = InsideSamples()
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
