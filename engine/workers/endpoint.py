"""The worker's own HTTP: metrics and health, for machines only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from engine.workers.runner import Runner

HOST = "127.0.0.1"  # metrics are not for the public; a scraper runs beside it, or a proxy does


@asynccontextmanager
async def endpoint(runner: Runner, port: int) -> AsyncIterator[int]:
    """Serve on ``port`` (0: any) and give the port. Raises ``OSError`` when it is taken."""

    async def metrics(_: web.Request) -> web.Response:
        body = await asyncio.to_thread(generate_latest)  # it reads /proc
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def live(_: web.Request) -> web.Response:
        return _json({"status": "live"}, HTTPStatus.OK)

    async def ready(_: web.Request) -> web.Response:
        services = [
            {
                "name": state.name,
                "status": "stopped" if state.stopped else "failing" if state.failures else "ok",
                "error": state.error,
            }
            for state in runner.states.values()
        ]
        body = {"status": "ready" if runner.ready else "not ready", "services": services}
        return _json(body, HTTPStatus.OK if runner.ready else HTTPStatus.SERVICE_UNAVAILABLE)

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/health/live", live)
    app.router.add_get("/health/ready", ready)
    site = web.AppRunner(app, access_log=None)
    await site.setup()
    try:
        await web.TCPSite(site, HOST, port).start()
        yield site.addresses[0][1]
    finally:
        await site.cleanup()


def _json(body: object, status: HTTPStatus) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")
