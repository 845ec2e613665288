"""What the application carries of the waiting room, each by a typed key."""

from __future__ import annotations

from aiohttp import web

from engine.platform.http.websocket.feeds import Feeds
from engine.queue.live.feed import QueueCounts, QueueFeed

QUEUE_FEEDS = web.AppKey[Feeds[QueueFeed]]("queue_feeds")


QUEUE_COUNTS = web.AppKey("queue_counts", QueueCounts)
