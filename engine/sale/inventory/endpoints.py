"""The seat map, what is free on it, and the live connection that tells what changes."""

from __future__ import annotations

from aiohttp import hdrs, web

from engine.platform.http.conditional import not_modified, shared
from engine.platform.http.route import Call
from engine.platform.http.state import SETTINGS
from engine.platform.http.websocket.handshake import check_origin
from engine.platform.http.websocket.sockets import Upgrade, block_of, listen
from engine.queue.gate.door import client_address
from engine.sale.inventory.schemas import LiveQuery
from engine.sale.state import FEEDS, SALE, SEAT_MAPS

# A map never changes under its ETag, but a publication may bring another: so it is asked for again.
_MAP_CACHE = "public, max-age=60"
_AVAILABILITY_CACHE = "no-cache"  # may be kept, but is asked about each time: mostly 304


async def read_seat_map(call: Call) -> web.Response:
    """Answer with the map; compressed beforehand, for those who take it so."""
    app, request = call.request.app, call.request
    published = await app[SALE].published(call.path("occurrence"))
    seat_map = await app[SEAT_MAPS].of(published.snapshot)
    etag = f'"{seat_map.version}"'
    headers = {
        hdrs.ETAG: etag,
        hdrs.CACHE_CONTROL: _MAP_CACHE,
        hdrs.VARY: hdrs.ACCEPT_ENCODING,
    }
    if not_modified(request, etag):
        return web.Response(status=304, headers=headers)
    body = seat_map.body
    if "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
        body = seat_map.compressed
        headers[hdrs.CONTENT_ENCODING] = "gzip"
    return web.Response(body=body, content_type="application/json", headers=headers)


async def read_availability(call: Call) -> web.Response:
    """Answer with what is free; many askers share one reading and one encoding."""
    app, occurrence = call.request.app, call.path("occurrence")
    await app[SALE].published(occurrence)
    etag, body = await app[FEEDS].plain(occurrence).body()
    return shared(call.request, body, etag, _AVAILABILITY_CACHE)


async def watch(call: Call) -> web.StreamResponse:
    """Open a connection that is sent what is free, and from then on what changes."""
    app, request, occurrence = call.request.app, call.request, call.path("occurrence")
    query: LiveQuery = call.query
    check_origin(request, app[SETTINGS].public_url)
    await app[SALE].published(occurrence)
    feeds, block = app[FEEDS], block_of(client_address(request))
    upgrade = Upgrade(request)
    with feeds.sockets.room(block):
        feed = feeds.of(occurrence)
        await feed.picture()  # fails as a plain response, while there still can be one
        socket = await upgrade.open(request, feeds.sockets, feed, "", block)
    if socket is not None:
        await listen(socket, feed.join(socket, query.version))
    return upgrade
