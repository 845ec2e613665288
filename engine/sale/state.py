"""What the application carries of the sale, each by a typed key."""

from __future__ import annotations

from aiohttp import web

from engine.platform.http.websocket.feeds import Feeds
from engine.sale.inventory.live_map import Feed
from engine.sale.inventory.seat_maps import SeatMaps
from engine.sale.service import Sale

SALE = web.AppKey("sale", Sale)


FEEDS = web.AppKey[Feeds[Feed]]("feeds")


SEAT_MAPS = web.AppKey("seat_maps", SeatMaps)
