"""What every application carries, each by a typed key."""

from __future__ import annotations

from aiohttp import web
from redis.asyncio import Redis

from engine.core.clock import FollowedClock
from engine.core.settings import Settings
from engine.core.tokens import TokenSigner
from engine.platform.http.websocket.tickets import LiveTickets
from engine.platform.telemetry.http_metrics import Metrics

SETTINGS = web.AppKey("settings", Settings)


REDIS = web.AppKey("redis", Redis)


CLOCK = web.AppKey("clock", FollowedClock)


SIGNER = web.AppKey("signer", TokenSigner)


METRICS = web.AppKey("metrics", Metrics)


LIVE_TICKETS = web.AppKey("live_tickets", LiveTickets)


OPENAPI = web.AppKey("openapi", bytes)
