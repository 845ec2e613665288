"""Opening a WebSocket that only the server talks on, and waiting for its end."""

from __future__ import annotations

import random

from aiohttp import WSCloseCode, WSMsgType, hdrs, web
from yarl import URL

from engine.core.logs import REQUEST_ID
from engine.http.errors import OriginRefusedError, UpgradeNeededError
from engine.http.headers import REQUEST_ID_HEADER

_HEARTBEAT_S = (20.0, 30.0)  # below the minute of silence at which proxies give up; spread evenly
_MESSAGE_BYTES_MAX = 1_024  # clients have nothing to say here
_CLOSE_TIMEOUT_S = 2.0


def check_origin(request: web.Request, public_url: str) -> None:
    """Raise :class:`OriginRefusedError` for a browser's page that is not of this site.

    Programs send no Origin and are let in: they could send any.
    """
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is not None and origin != str(URL(public_url).origin()):
        raise OriginRefusedError("Open the connection from a page of this site")


def make_socket(request: web.Request) -> web.WebSocketResponse:
    """Return a socket for a request that asks for one, still to be prepared.

    Its pings come in an interval of its own, so that those of thousands that came
    together are spread. Raises :class:`UpgradeNeededError`.
    """
    socket = web.WebSocketResponse(
        heartbeat=random.uniform(*_HEARTBEAT_S),  # noqa: S311 - spreads the pings, hides nothing
        timeout=_CLOSE_TIMEOUT_S,
        max_msg_size=_MESSAGE_BYTES_MAX,
        compress=False,
    )
    if not socket.can_prepare(request):
        raise UpgradeNeededError("Connect with a WebSocket client")
    socket.headers[REQUEST_ID_HEADER] = REQUEST_ID.get()
    return socket


async def until_gone(socket: web.WebSocketResponse) -> None:
    """Wait until the client goes, and part from one that talks."""
    message = await socket.receive()
    # One that goes has closed the socket already.
    talked = message.type in {WSMsgType.TEXT, WSMsgType.BINARY}
    await socket.close(code=WSCloseCode.POLICY_VIOLATION if talked else WSCloseCode.OK)
