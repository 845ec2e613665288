"""The worker's own HTTP: metrics and health, for machines only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from engine.app.assembly import bare_app, make_runner, metrics_of
from engine.core.settings import Settings
from engine.platform.http.route import Answer, Call, Handler, Route
from engine.platform.jobs.runner import Runner

_DEFAULTS = Settings()


@asynccontextmanager
async def endpoint(runner: Runner, port: int, settings: Settings = _DEFAULTS) -> AsyncIterator[int]:
    """Serve on ``port`` (0: any) and give the port. Raises ``OSError`` when it is taken."""

    async def metrics(_: Call) -> web.Response:
        body = await asyncio.to_thread(generate_latest)  # it reads /proc
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def live(_: Call) -> web.Response:
        return _json({"status": "live"}, HTTPStatus.OK)

    async def ready(_: Call) -> web.Response:
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

    routes = (
        _route("/metrics", "read_metrics", metrics),
        _route("/health/live", "read_live", live),
        _route("/health/ready", "read_ready", ready),
    )
    site = make_runner(bare_app(settings, routes, metrics_of(routes)))
    await site.setup()
    try:
        await web.TCPSite(site, settings.metrics_host, port).start()
        yield site.addresses[0][1]
    finally:
        await site.cleanup()


def _route(path: str, name: str, handler: Handler) -> Route:
    return Route(
        method="GET",
        path=path,
        name=name,
        tag="Operations",
        summary=name,
        handler=handler,
        answers={200: Answer(description="It is so.")},
    )


def _json(body: object, status: HTTPStatus) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")
