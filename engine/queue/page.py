"""The waiting page: the same for every sale, so that it can be kept anywhere for a moment."""

from __future__ import annotations

from aiohttp import hdrs, web

from engine.platform.http.assets import PAGES, WAIT
from engine.platform.http.route import Call

_HEADERS = {
    # Only its own files: no inline script or style, no frame, nothing from elsewhere.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    # Short, as it names the files of this version; a crowd at the opening is a CDN's business.
    hdrs.CACHE_CONTROL: "public, max-age=30",
}
_PAGE = WAIT.linked((PAGES / "wait" / "wait.html").read_text())  # read with the module


async def read_waiting_page(call: Call) -> web.Response:
    """Answer with the page; its script asks the interface for everything about the sale."""
    del call
    return web.Response(text=_PAGE, content_type="text/html", headers=_HEADERS)
