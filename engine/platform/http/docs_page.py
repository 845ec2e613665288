"""The OpenAPI document, and a page that draws it: one response, nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from aiohttp import web

from engine.platform.http.route import Call
from engine.platform.http.state import OPENAPI

_PAGES = Path(__file__).parent / "pages"


def _page() -> tuple[str, str]:
    style = (_PAGES / "docs.css").read_text()
    script = (_PAGES / "docs.js").read_text()
    html = (_PAGES / "docs.html").read_text()
    html = html.replace("/*STYLE*/", style).replace("/*SCRIPT*/", script)
    policy = (
        "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; "
        f"form-action 'none'; frame-ancestors 'none'; "
        f"style-src '{_hash(style)}'; script-src '{_hash(script)}'"
    )
    return html, policy


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


# Read with the module, before any event loop runs. Only its own style and script may run.
PAGE, PAGE_POLICY = _page()


async def read_docs(call: Call) -> web.Response:
    """Answer with the page."""
    del call
    return web.Response(
        text=PAGE,
        content_type="text/html",
        headers={"Content-Security-Policy": PAGE_POLICY, "Cache-Control": "no-cache"},
    )


async def read_openapi(call: Call) -> web.Response:
    """Answer with the document."""
    return web.Response(
        body=call.request.app[OPENAPI],
        content_type="application/json",
        headers={"Cache-Control": "no-cache"},
    )
