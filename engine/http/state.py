"""What the application carries, each by a typed key."""

from __future__ import annotations

from aiohttp import web
from redis.asyncio import Redis

from engine.core.clock import FollowedClock
from engine.core.live_tickets import LiveTickets
from engine.core.tokens import TokenSigner
from engine.http.live import Feed
from engine.http.live_feeds import Feeds
from engine.http.metrics import Metrics
from engine.http.queue_live import QueueCounts, QueueFeed
from engine.http.seat_maps import SeatMaps
from engine.payments.stripe import StripeProvider
from engine.sale.service import Sale
from engine.settings import Settings

SETTINGS = web.AppKey("settings", Settings)
REDIS = web.AppKey("redis", Redis)
PROVIDER = web.AppKey("provider", StripeProvider)
SALE = web.AppKey("sale", Sale)
CLOCK = web.AppKey("clock", FollowedClock)
SIGNER = web.AppKey("signer", TokenSigner)
METRICS = web.AppKey("metrics", Metrics)
FEEDS = web.AppKey[Feeds[Feed]]("feeds")
QUEUE_FEEDS = web.AppKey[Feeds[QueueFeed]]("queue_feeds")
QUEUE_COUNTS = web.AppKey("queue_counts", QueueCounts)
LIVE_TICKETS = web.AppKey("live_tickets", LiveTickets)
SEAT_MAPS = web.AppKey("seat_maps", SeatMaps)
OPENAPI = web.AppKey("openapi", bytes)
