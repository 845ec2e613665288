"""Orders as their buyer sees them, and the payment provider's messages about them."""

from __future__ import annotations

from aiohttp import web

from engine.payments.errors import WebhookRejectedError
from engine.platform.http.pipeline import answer, read_body
from engine.platform.http.route import Call
from engine.queue.admission.samples import SAMPLES
from engine.sale.orders.buyer_payments import ASK_AGAIN_S
from engine.sale.state import SALE


async def read_order(call: Call) -> web.Response:
    """Answer with the buyer's order."""
    return answer(
        await call.request.app[SALE].orders.read(
            call.buyer, call.path("occurrence"), call.path("order")
        )
    )


async def cancel_order(call: Call) -> web.Response:
    """Cancel a pending order: first at the provider, then its seats go back on sale."""
    return answer(
        await call.request.app[SALE].orders.cancel(
            call.buyer, call.path("occurrence"), call.path("order")
        )
    )


async def settle_order(call: Call) -> web.Response:
    """Ask the provider, as the buyer's client says that it has paid."""
    app = call.request.app
    settling = app[SALE].orders.settle(call.buyer, call.path("occurrence"), call.path("order"))
    view = await app[SAMPLES].paying(call.buyer, settling, lambda _: True)
    waits = view.state in {"pending", "cancelling"}
    return answer(view, headers={"Retry-After": str(ASK_AGAIN_S)} if waits else None)


async def receive_stripe(call: Call) -> web.Response:
    """Take a message of Stripe. Answered only once the sale has recorded what it says.

    Whatever fails is answered with an error, so that the provider repeats the message.
    """
    signature = call.request.headers.get("Stripe-Signature")
    if signature is None:
        raise WebhookRejectedError("The Stripe-Signature header is missing")
    await call.request.app[SALE].handle_webhook(await read_body(call.request), signature)
    return web.Response(status=200)
