"""Reads a published draw and its roster over HTTP, as anybody can."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

import aiohttp

from engine.core.errors import InvalidRequestError, NotFoundError
from engine.platform.valkey.errors import StoreUnavailableError
from engine.queue.draw.numbers import LEAF_BYTES
from engine.queue.draw.verification import PublishedDraw, read_draw

PAGE: Final = 4_096  # leaves: 64 KiB an answer
_DOCUMENT_BYTES_MAX: Final = 16_384
_TRIES: Final = 5  # of one page; a busy site says when to come back
_WAIT_S_MAX: Final = 30
_TIMEOUT: Final = aiohttp.ClientTimeout(total=30)
_BUSY: Final = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}

Progress = Callable[[int, int], None]  # leaves that were read, of how many


async def download(url: str, occurrence: str, progress: Progress) -> tuple[PublishedDraw, bytes]:
    """Return the draw of an occurrence on the site at ``url``, and its roster.

    The roster is empty as long as nothing is drawn, and has never more than the
    16 bytes a place that the draw announces. Raises :class:`NotFoundError`,
    :class:`StoreUnavailableError` when the site cannot be reached, and
    :class:`InvalidRequestError` when it answers something else.
    """
    line = f"{url.rstrip('/')}/v1/occurrences/{occurrence}/queue"
    try:
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
            draw = read_draw(await _get(session, f"{line}/draw", _DOCUMENT_BYTES_MAX))
            roster = bytearray()
            while draw.drawn and len(roster) < draw.places * LEAF_BYTES:
                start = len(roster) // LEAF_BYTES
                count = min(PAGE, draw.places - start)
                address = f"{line}/roster?start={start}&count={count}"
                page = await _get(session, address, count * LEAF_BYTES)
                roster += page
                progress(len(roster) // LEAF_BYTES, draw.places)
                if len(page) < count * LEAF_BYTES:
                    break  # it is shorter than announced: the check says so
            return draw, bytes(roster)
    except (aiohttp.ClientError, TimeoutError) as error:
        reason = str(error) or type(error).__name__
        raise StoreUnavailableError(f"{url} cannot be read: {reason}") from error


async def _get(session: aiohttp.ClientSession, address: str, bytes_max: int) -> bytes:
    for _ in range(_TRIES):
        async with session.get(address, allow_redirects=False) as response:
            if response.status in _BUSY:
                after = response.headers.get("Retry-After", "1")
                await asyncio.sleep(min(int(after) if after.isdecimal() else 1, _WAIT_S_MAX))
                continue
            if response.status == HTTPStatus.NOT_FOUND:
                raise NotFoundError(f"there is nothing at {address}")
            if response.status != HTTPStatus.OK:
                raise InvalidRequestError(f"{address} answers {response.status}")
            body = bytearray()
            async for part in response.content.iter_chunked(PAGE * LEAF_BYTES):
                body += part
                if len(body) > bytes_max:
                    raise InvalidRequestError(f"{address} answers more than {bytes_max:,} bytes")
            return bytes(body)
    raise StoreUnavailableError(f"{address} is too busy: try again later")
