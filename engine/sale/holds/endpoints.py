"""Holds: a buyer's cart. The sale decides; this only translates."""

from __future__ import annotations

from aiohttp import web

from engine.platform.http.pipeline import answer
from engine.platform.http.route import Call
from engine.queue.admission.samples import SAMPLES, since
from engine.sale.state import SALE


async def create_hold(call: Call) -> web.Response:
    """Hold all lines, or none."""
    app = call.request.app
    view = await app[SALE].holds.acquire(
        call.buyer, call.path("occurrence"), call.body, call.required_key, call.network
    )
    app[SAMPLES].holds.add(call.buyer, since(call.began))
    return answer(view, status=201)


async def read_hold(call: Call) -> web.Response:
    """Answer with the buyer's hold."""
    return answer(
        await call.request.app[SALE].holds.read(
            call.buyer, call.path("occurrence"), call.path("hold")
        )
    )


async def change_hold(call: Call) -> web.Response:
    """Add to the hold and remove from it, all together or not at all."""
    return answer(
        await call.request.app[SALE].holds.change(
            call.buyer, call.path("occurrence"), call.path("hold"), call.body, call.key
        )
    )


async def extend_hold(call: Call) -> web.Response:
    """Give the hold its full time again, within its longest time."""
    return answer(
        await call.request.app[SALE].holds.extend(
            call.buyer, call.path("occurrence"), call.path("hold"), call.required_key
        )
    )


async def release_hold(call: Call) -> web.Response:
    """Give everything back."""
    await call.request.app[SALE].holds.release(
        call.buyer, call.path("occurrence"), call.path("hold")
    )
    return web.Response(status=204)


async def check_out(call: Call) -> web.Response:
    """Make the order of a hold, and what the buyer's client needs to pay it."""
    app = call.request.app
    making = app[SALE].orders.checkout(
        call.buyer, call.path("occurrence"), call.path("hold"), call.body, call.required_key
    )
    samples = app[SAMPLES]
    view = await samples.paying(call.buyer, making, lambda made: made.payment is not None)
    samples.checkouts.add(call.buyer, since(call.began))
    return answer(view, status=201)
