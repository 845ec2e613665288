"""The limit: a bare aiohttp application on uvloop that decodes JSON and encodes it again.

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


async def echo(request: web.Request) -> web.Response:
    """Answer with what was sent."""
    return web.Response(
        body=orjson.dumps(orjson.loads(await request.read())), content_type="application/json"
    )


async def health(_: web.Request) -> web.Response:
    """Say that it serves."""
    return web.Response()


async def serve(port: int) -> None:
    """Serve until SIGTERM."""
    app = web.Application()
    app.router.add_post(PATH, echo)
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
