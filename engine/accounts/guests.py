"""Guests: a signed token without an account."""

from __future__ import annotations

from aiohttp import web

from engine.accounts.schemas import GuestRequest, GuestView
from engine.core.times import rfc3339
from engine.platform.http.pipeline import answer
from engine.platform.http.route import Call
from engine.platform.http.state import CLOCK, SETTINGS, SIGNER
from engine.queue.gate.door import DOOR, client_address
from engine.sale.state import SALE


async def create_guest(call: Call) -> web.Response:
    """Answer with the token of a new guest, another one each time.

    Nothing that a client chooses may name a guest: two who choose the same were one buyer.
    Who has lost the answer asks again, and nobody has the guest of the first.
    """
    app = call.request.app
    signer = app[SIGNER]
    request: GuestRequest = call.body
    address = client_address(call.request)
    await app[DOOR].take_guest(app[SALE].crowd, address)
    network = app[DOOR].network(address)
    claims = signer.guest(request.email, app[SETTINGS].guest_token_ttl_s, network)
    expires_ms = claims.exp * 1000
    return answer(
        GuestView(
            token=signer.sign(claims),
            buyer=claims.sub,
            expires_at=rfc3339(expires_ms),
            expires_in_ms=expires_ms - app[CLOCK].ms(),
        ),
        status=201,
    )
