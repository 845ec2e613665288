"""The door of the waiting room: what joining takes, and how much is taken of whom."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from aiohttp import hdrs, web

from engine.core.addresses import Proxies
from engine.core.proof_of_work import (
    AskedRate,
    Challenge,
    load_factor,
    make_challenge,
    proof_keys,
    verify_proof,
)
from engine.core.tokens import Claims
from engine.http.endpoints import answer
from engine.http.route import Call
from engine.http.state import SALE
from engine.sale.networks import network_name
from engine.sale.occurrences import Published
from engine.sale.waiting.budgets import (
    GUESTS,
    JOINS,
    WINDOW_MS,
    Budget,
    address_budget,
    budget_key,
    email_budget,
)
from engine.settings import Settings
from engine.store.batcher import Batcher
from engine.store.budgets import take_budget


class Door:
    """Asks for proofs, checks them, and knows the budgets; one a process.

    Nothing in it waits, so the hot path may call it. ``clock`` returns seconds since the epoch.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock
        self._keys = proof_keys(settings.token_secret)
        self._budget_key = budget_key(settings.token_secret)
        self._proxies = Proxies(settings.trusted_proxies)
        self._asked = AskedRate()

    def challenge(self, buyer: str, occurrence: str) -> Challenge:
        """Return a challenge for this buyer; the harder, the more were asked lately."""
        now_s = self._clock()
        difficulty = self._settings.door_difficulty * load_factor(self._asked.add(now_s))
        return make_challenge(self._keys, buyer, occurrence, now_s, difficulty)

    def check(self, payload: str | None, buyer: str, occurrence: str) -> None:
        """Raise ``ChallengeError`` unless the proof is good, or none is asked for."""
        if self._settings.door_difficulty:
            verify_proof(self._keys, payload, buyer, occurrence, self._clock())

    def budgets(self, claims: Claims, address: str | None) -> Sequence[Budget]:
        """Return the budgets that a join of this buyer takes from."""
        settings, key = self._settings, self._budget_key
        found = []
        block = address_budget(
            key, JOINS, address, settings.door_address_soft, settings.door_address_hard
        )
        if block is not None:
            found.append(block)
        if claims.email is not None and settings.door_email_hard:
            found.append(
                email_budget(key, claims.email, settings.door_email_soft, settings.door_email_hard)
            )
        return found

    def address(self, peer: str | None, forwarded: Iterable[str]) -> str | None:
        """Return the client's address; ``forwarded``: its ``X-Forwarded-For`` lines, in order."""
        return self._proxies.client(peer, forwarded)

    async def take_guest(self, batcher: Batcher, address: str | None) -> None:
        """Count a new guest of this address. Raises ``TooManyRequestsError``."""
        limit = self._settings.guests_per_address
        budget = address_budget(self._budget_key, GUESTS, address, limit, limit)
        if budget is not None:
            await take_budget(batcher, budget.name, budget.hard, WINDOW_MS)

    def network(self, address: str | None) -> str | None:
        """Return the name of the address's network, for a guest's token."""
        return network_name(self._budget_key, address)


DOOR = web.AppKey("door", Door)


def client_address(request: web.Request) -> str | None:
    """Return the address that a request comes from, if it is known."""
    forwarded = request.headers.getall(hdrs.X_FORWARDED_FOR, ())
    return request.app[DOOR].address(request.remote, forwarded)


async def check_door(call: Call, published: Published) -> Sequence[Budget]:
    """Check the ``challenge`` of a join's body, and return the budgets that it takes from.

    Raises ``ChallengeError``.
    """
    if call.claims is None:
        raise LookupError("the route does not ask for a buyer")
    door = call.request.app[DOOR]
    door.check(call.body.challenge, call.buyer, published.snapshot.occurrence)
    return door.budgets(call.claims, client_address(call.request))


async def read_challenge(call: Call) -> web.Response:
    """Answer with a challenge that is new each time."""
    app = call.request.app
    published = await app[SALE].published(call.path("occurrence"))
    return answer(app[DOOR].challenge(call.buyer, published.snapshot.occurrence))
