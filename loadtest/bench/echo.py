"""The limit: a bare aiohttp application on uvloop that decodes JSON and encodes it again.

A GET, which brings nothing to decode, is answered with a document as large as a place in line.

python -m loadtest.bench.echo PORT
"""

from __future__ import annotations

import asyncio
import signal
import sys

import orjson
import uvloop
from aiohttp import web

PATH = "/echo"
DOCUMENT = {
    "occurrence": "0" * 32,
    "state": "waiting",
    "number": 123_456,
    "ahead": 123_455,
    "eta": {"likely_ms": 12_345_600, "from_ms": 11_111_100, "to_ms": 13_579_900},
    "chance": 50,
    "left": [
        {
            "ticket_type": f"category-{n}",
            "name": f"Category {n}",
            "left": 12_345,
            "price_from": 5_000,
        }
        for n in range(1, 5)
    ],
    "currency": "EUR",
    "sold_out": False,
    "paused": False,
    "opens_in_ms": None,
    "claim_in_ms": None,
    "leave_in_ms": None,
    "ask_in_ms": 12_345,
    "roster_index": 123_456,
}


async def echo(request: web.Request) -> web.Response:
    """Answer with what was sent."""
    return web.Response(
        body=orjson.dumps(orjson.loads(await request.read())), content_type="application/json"
    )


async def document(_: web.Request) -> web.Response:
    """Answer with a document."""
    return web.Response(body=orjson.dumps(DOCUMENT), content_type="application/json")


async def health(_: web.Request) -> web.Response:
    """Say that it serves."""
    return web.Response()


async def serve(port: int) -> None:
    """Serve until SIGTERM."""
    app = web.Application()
    app.router.add_post(PATH, echo)
    app.router.add_get(PATH, document)
    app.router.add_get("/health", health)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
