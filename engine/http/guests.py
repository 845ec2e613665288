"""Guests: a signed token without an account."""

from __future__ import annotations

import msgspec
from aiohttp import web

from engine.core.errors import IdempotencyMismatchError
from engine.core.times import rfc3339
from engine.core.tokens import Claims
from engine.http.door import DOOR, client_address
from engine.http.endpoints import answer
from engine.http.route import Call
from engine.http.schemas import GuestRequest, GuestView
from engine.http.state import CLOCK, SALE, SETTINGS, SIGNER
from engine.store.remembered import remember

_REMEMBERED_S = 86_400  # as long as every other idempotency key that is kept by time


class _Remembered(msgspec.Struct, array_like=True):
    body_digest: bytes
    claims: Claims


async def create_guest(call: Call) -> web.Response:
    """Answer with the token of a new guest; repeated with the same key: with the same token."""
    app = call.request.app
    signer, settings = app[SIGNER], app[SETTINGS]
    request: GuestRequest = call.body
    key = call.required_key
    # first of all: whoever is over the budget leaves nothing in the store
    address = client_address(call.request)
    await app[DOOR].take_guest(app[SALE].crowd, address)
    network = app[DOOR].network(address)
    claims = signer.guest(request.email, settings.guest_token_ttl_s, network)
    kept = await remember(
        app[SALE].crowd,
        "guest",
        key.key_digest,
        msgspec.msgpack.encode(_Remembered(key.body_digest, claims)),
        _REMEMBERED_S,
    )
    remembered = msgspec.msgpack.decode(kept.value, type=_Remembered)
    if remembered.body_digest != key.body_digest:
        raise IdempotencyMismatchError("Use a new Idempotency-Key for another request")
    claims = remembered.claims
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
