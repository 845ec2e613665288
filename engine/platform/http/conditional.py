"""Answers that everybody shares, and that a client may have already."""

from __future__ import annotations

import zlib

from aiohttp import hdrs, web


def not_modified(request: web.Request, etag: str) -> bool:
    """Tell whether the caller has this version (RFC 9110, 13.1.2: weak comparison)."""
    given = request.headers.get(hdrs.IF_NONE_MATCH, "")
    tags = {tag.strip().removeprefix("W/") for tag in given.split(",")}
    return etag in tags or "*" in tags


def etag_of(body: bytes, version: int) -> str:
    """Return the ETag of a body: its version, and a checksum for what the clock alone changes."""
    return f'"{version}-{zlib.crc32(body):08x}"'


def public_until(kept_ms: int, now_ms: int, changes_ms: int | None) -> str:
    """Return a Cache-Control for ``kept_ms``, but not beyond the moment ``changes_ms`` (None: no).

    What the clock changes then takes effect in every cache at once, without anybody being told.
    """
    left_ms = kept_ms if changes_ms is None else min(changes_ms - now_ms, kept_ms)
    return f"public, max-age={max(left_ms, 0) // 1000}"


def shared(
    request: web.Request,
    body: bytes,
    etag: str,
    cache_control: str,
    *,
    content_type: str = "application/json",
) -> web.Response:
    """Return the body, or 304 to a caller that has it."""
    headers = {hdrs.ETAG: etag, hdrs.CACHE_CONTROL: cache_control}
    if not_modified(request, etag):
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, content_type=content_type, headers=headers)
