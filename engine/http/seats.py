"""The seat map, what is free on it, and the live connection that tells what changes."""

from __future__ import annotations

import asyncio
import random

from aiohttp import WSCloseCode, WSMsgType, hdrs, web
from yarl import URL

from engine.core.errors import OnsaleError
from engine.core.logs import REQUEST_ID
from engine.http.errors import OriginRefusedError, UpgradeNeededError
from engine.http.headers import REQUEST_ID_HEADER
from engine.http.live import Feed
from engine.http.route import Call
from engine.http.schemas import LiveQuery
from engine.http.state import FEEDS, SALE, SEAT_MAPS, SETTINGS

# A map never changes under its ETag, but a publication may bring another: so it is asked for again.
_MAP_CACHE = "public, max-age=60"
_AVAILABILITY_CACHE = "no-cache"  # may be kept, but is asked about each time: mostly 304
_HEARTBEAT_S = (20.0, 30.0)  # below the minute of silence at which proxies give up; spread evenly
_MESSAGE_BYTES_MAX = 1_024  # clients have nothing to say here
_CLOSE_TIMEOUT_S = 2.0


def _not_modified(request: web.Request, etag: str) -> bool:
    """Tell whether the caller has this version (RFC 9110, 13.1.2: weak comparison)."""
    given = request.headers.get(hdrs.IF_NONE_MATCH, "")
    tags = {tag.strip().removeprefix("W/") for tag in given.split(",")}
    return etag in tags or "*" in tags


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
    if _not_modified(request, etag):
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
    etag, body = await app[FEEDS].of(occurrence).body()
    headers = {hdrs.ETAG: etag, hdrs.CACHE_CONTROL: _AVAILABILITY_CACHE}
    if _not_modified(call.request, etag):
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, content_type="application/json", headers=headers)


def check_origin(request: web.Request, public_url: str) -> None:
    """Raise :class:`OriginRefusedError` for a browser's page that is not of this site.

    Programs send no Origin and are let in: they could send any.
    """
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is not None and origin != str(URL(public_url).origin()):
        raise OriginRefusedError("Open the connection from a page of this site")


async def watch(call: Call) -> web.StreamResponse:
    """Send what is free, and from then on what changes, until the client goes."""
    app, request, occurrence = call.request.app, call.request, call.path("occurrence")
    query: LiveQuery = call.query
    check_origin(request, app[SETTINGS].public_url)
    await app[SALE].published(occurrence)
    feeds = app[FEEDS]
    feed = feeds.of(occurrence)
    socket = web.WebSocketResponse(
        heartbeat=random.uniform(*_HEARTBEAT_S),  # noqa: S311 - spreads the pings, hides nothing
        timeout=_CLOSE_TIMEOUT_S,
        max_msg_size=_MESSAGE_BYTES_MAX,
        compress=False,
    )
    if not socket.can_prepare(request):
        raise UpgradeNeededError("Connect with a WebSocket client")
    await feed.picture()  # fails as a plain response, while there still can be one
    socket.headers[REQUEST_ID_HEADER] = REQUEST_ID.get()
    with feeds.counted(socket):
        await socket.prepare(request)
        if request.transport is not None:  # else it went while the handshake was under way
            await _serve(socket, request.transport, feed, query.version)
    return socket


async def _serve(
    socket: web.WebSocketResponse, wire: asyncio.Transport, feed: Feed, known: int | None
) -> None:
    try:
        await feed.join(wire, known)
        message = await socket.receive()
        # Clients have nothing to say here; one that goes has closed the socket already.
        talked = message.type in {WSMsgType.TEXT, WSMsgType.BINARY}
        await socket.close(code=WSCloseCode.POLICY_VIOLATION if talked else WSCloseCode.OK)
    except OnsaleError:
        await socket.close(code=WSCloseCode.TRY_AGAIN_LATER)
    finally:
        feed.leave(wire)
