"""Scripts and styles of pages: read once, served under addresses that change with the content.

So a browser, and a CDN, may keep each for ever, and never mixes two versions.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from pathlib import Path
from typing import NamedTuple

from aiohttp import hdrs, web

from engine.platform.http.errors import PathUnknownError
from engine.platform.http.route import Call

PAGES = Path(__file__).parent / "pages"
_HASH_LENGTH = 16
_KINDS = {".js": "text/javascript", ".css": "text/css"}
_REFERENCE = re.compile(r"/assets/([a-z0-9.-]+\.(?:js|css))")
_FOR_EVER = "public, max-age=31536000, immutable"


class Asset(NamedTuple):
    """A file ready to be sent."""

    content_type: str
    body: bytes
    compressed: bytes


class Assets:
    """The files of a page. They name each other, and pages name them, as ``/assets/NAME``."""

    def __init__(self, *paths: Path) -> None:
        """Read ``paths``, each after those that it names."""
        self._addresses: dict[str, str] = {}
        self._files: dict[str, Asset] = {}
        for path in paths:
            body = self.linked(path.read_text()).encode()
            digest = hashlib.sha256(body).hexdigest()[:_HASH_LENGTH]
            name = f"{path.stem}.{digest}{path.suffix}"
            self._addresses[path.name] = f"/assets/{name}"
            # mtime: the same file is the same bytes in every process
            self._files[name] = Asset(_KINDS[path.suffix], body, gzip.compress(body, mtime=0))

    def linked(self, text: str) -> str:
        """Return a text with the addresses of the files that it names."""
        return _REFERENCE.sub(lambda match: self._addresses[match[1]], text)

    def find(self, name: str) -> Asset:
        """Return a file by the last part of its address. Raises :class:`PathUnknownError`."""
        found = self._files.get(name)
        if found is None:
            raise PathUnknownError("There is no such file any more: load its page again")
        return found


# Read with the module, before any event loop runs.
WAIT = Assets(
    PAGES / "altcha" / "altcha.css",
    PAGES / "altcha" / "altcha.min.js",
    PAGES / "altcha" / "pbkdf2.js",
    PAGES / "wait" / "wait.css",
    PAGES / "wait" / "wait-words.js",
    PAGES / "wait" / "wait-kept.js",
    PAGES / "wait" / "wait-line.js",
    PAGES / "wait" / "wait-proof.js",
    PAGES / "wait" / "wait-signals.js",
    PAGES / "wait" / "wait-view.js",
    PAGES / "wait" / "wait.js",
)


async def read_asset(call: Call) -> web.Response:
    """Answer with a file, compressed for those who take it."""
    asset = WAIT.find(call.path("asset"))
    headers = {hdrs.CACHE_CONTROL: _FOR_EVER, hdrs.VARY: hdrs.ACCEPT_ENCODING}
    body = asset.body
    if "gzip" in call.request.headers.get(hdrs.ACCEPT_ENCODING, ""):
        headers[hdrs.CONTENT_ENCODING] = "gzip"
        body = asset.compressed
    return web.Response(
        body=body, content_type=asset.content_type, charset="utf-8", headers=headers
    )
