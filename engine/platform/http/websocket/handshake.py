"""The opening handshake of WebSockets (RFC 6455, 4.2.1): what is asked of the request."""

from __future__ import annotations

import base64
import hashlib
import re

from aiohttp import hdrs, web
from aiohttp.http import HttpVersion11
from yarl import URL

from engine.core.errors import InvalidRequestError
from engine.platform.http.errors import OriginRefusedError, UpgradeNeededError

_ACCEPT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_KEY = re.compile(r"[A-Za-z0-9+/]{21}[AQgw]==")  # 16 bytes in base 64
_VERSION = "13"


def check_origin(request: web.Request, public_url: str) -> None:
    """Raise :class:`OriginRefusedError` for a browser's page that is not of this site.

    Programs send no Origin and are let in: they could send any.
    """
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is not None and origin != str(URL(public_url).origin()):
        raise OriginRefusedError("Open the connection from a page of this site")


def accepted_key(request: web.Request) -> str:
    """Return the Sec-WebSocket-Accept for a request.

    Raises :class:`UpgradeNeededError` when it asks for no WebSocket of version 13, and
    :class:`InvalidRequestError` when it does and breaks the rules.
    """
    headers = request.headers
    wanted = ",".join(headers.getall(hdrs.UPGRADE, ())).split(",")
    asks = any(name.strip().lower() == "websocket" for name in wanted)
    if request.version != HttpVersion11 or not asks or not request._message.upgrade:  # noqa: SLF001 - what aiohttp's parser found in Connection
        raise UpgradeNeededError("Connect with a WebSocket client")
    if headers.getall(hdrs.SEC_WEBSOCKET_VERSION, []) != [_VERSION]:
        raise UpgradeNeededError(f"Connect with a WebSocket client of version {_VERSION}")
    keys = headers.getall(hdrs.SEC_WEBSOCKET_KEY, [])
    if len(keys) != 1 or _KEY.fullmatch(keys[0]) is None:
        raise InvalidRequestError("Send one Sec-WebSocket-Key: 16 bytes in base 64")
    if request.body_exists:
        raise InvalidRequestError("Send no body with the handshake of a WebSocket")
    digest = hashlib.sha1(keys[0].encode() + _ACCEPT, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()
