"""The gate of the waiting room: proof of work for joining, and budgets by network and buyer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from aiohttp import hdrs, web

from engine.core.addresses import Proxies, is_internal
from engine.core.settings import Settings
from engine.platform.http.pipeline import answer
from engine.platform.http.route import Call
from engine.platform.valkey.batcher import Batcher
from engine.platform.valkey.budgets import take_budgets
from engine.platform.valkey.keys import SHARD_COUNT
from engine.queue.gate.budgets import (
    CHALLENGES,
    GUESTS,
    JOINS,
    WINDOW_MS,
    Budget,
    address_budgets,
    budget_key,
    buyer_budget,
)
from engine.queue.gate.networks import network_name
from engine.queue.gate.proof_of_work import (
    Challenge,
    load_factor,
    make_challenge,
    proof_keys,
    verify_proof,
)
from engine.sale.inventory.occurrences import Published
from engine.sale.state import SALE

_LOG = logging.getLogger(__name__)

_TOO_MANY_GUESTS = "Too many new guests come from this network: try again later"
_TOO_MANY_CHALLENGES = "Too many challenges were asked for: solve the one that you have, or wait"


class Door:
    """Asks for proofs, checks them, and knows the budgets; one a process.

    Nothing that a join needs of it waits, so the hot path may call it. ``clock`` returns seconds
    since the epoch.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock
        self._keys = proof_keys(settings.token_secret)
        self._budget_key = budget_key(settings.token_secret)
        self._proxies = Proxies(settings.trusted_proxies)
        self._warned = False

    def challenge(self, buyer: str, occurrence: str, joins_per_s: float) -> Challenge:
        """Return a challenge for this buyer; the harder, the more have joined the line lately."""
        difficulty = self._settings.door_difficulty * load_factor(joins_per_s)
        return make_challenge(self._keys, buyer, occurrence, self._clock(), difficulty)

    def check(self, payload: str | None, buyer: str, occurrence: str) -> None:
        """Raise ``ChallengeError`` unless the proof is good, or none is asked for."""
        if self._settings.door_difficulty:
            verify_proof(self._keys, payload, buyer, occurrence, self._clock())

    def budgets(self, address: str | None) -> Sequence[Budget]:
        """Return the budgets that a join from this address takes from."""
        settings = self._settings
        return address_budgets(
            self._budget_key,
            JOINS,
            address,
            settings.door_address_soft,
            settings.door_address_hard,
        )

    def address(self, peer: str | None, forwarded: Sequence[str]) -> str | None:
        """Return the client's address; ``forwarded``: its ``X-Forwarded-For`` lines, in order."""
        if forwarded and not self._warned and is_internal(peer):
            self._look_at_proxy(peer)
        return self._proxies.client(peer, forwarded)

    def _look_at_proxy(self, peer: str | None) -> None:
        """Say once that a proxy is not named: all who come through it share its budgets."""
        if peer is not None and not self._proxies.trusts(peer):
            self._warned = True
            _LOG.warning(
                "X-Forwarded-For comes from %s, which is none of ONSALE_TRUSTED_PROXIES, and is "
                "ignored: if that is your proxy, name it, or all buyers share one budget",
                peer,
            )

    def network(self, address: str | None) -> str | None:
        """Return the name of the address's network, for a guest's token."""
        return network_name(self._budget_key, address)

    async def take_guest(self, batcher: Batcher, address: str | None) -> None:
        """Count a new guest of this address. Raises ``TooManyRequestsError``."""
        limit = self._settings.guests_per_address
        budgets = address_budgets(self._budget_key, GUESTS, address, limit, limit)
        if budgets:
            # where the widest block is counted: all that are within it have it in common
            shard = budgets[-1].name[0] % SHARD_COUNT
            await _take(batcher, shard, budgets, _TOO_MANY_GUESTS)

    async def take_challenge(
        self, batcher: Batcher, published: Published, buyer: str, address: str | None
    ) -> None:
        """Count a challenge of this buyer and address. Raises ``TooManyRequestsError``."""
        settings, key = self._settings, self._budget_key
        limit = settings.challenges_per_address
        budgets = address_budgets(key, CHALLENGES, address, limit, limit)
        if settings.challenges_per_buyer:
            budgets.append(buyer_budget(key, CHALLENGES, buyer, settings.challenges_per_buyer))
        if budgets:
            await _take(batcher, published.shard, budgets, _TOO_MANY_CHALLENGES)


async def _take(batcher: Batcher, shard: int, budgets: Sequence[Budget], refusal: str) -> None:
    limits = [(budget.name, budget.hard) for budget in budgets]
    await take_budgets(batcher, shard, limits, WINDOW_MS, refusal)


DOOR = web.AppKey("door", Door)


def client_address(request: web.Request) -> str | None:
    """Return the address that a request comes from, if it is known."""
    forwarded = request.headers.getall(hdrs.X_FORWARDED_FOR, ())
    return request.app[DOOR].address(request.remote, forwarded)


def check_door(call: Call, published: Published) -> Sequence[Budget]:
    """Check the ``challenge`` of a join's body, and return the budgets that it takes from.

    Raises ``ChallengeError``.
    """
    door = call.request.app[DOOR]
    door.check(call.body.challenge, call.buyer, published.snapshot.occurrence)
    return door.budgets(client_address(call.request))


async def read_challenge(call: Call) -> web.Response:
    """Answer with a challenge that is new each time."""
    app = call.request.app
    sale, door = app[SALE], app[DOOR]
    published = await sale.published(call.path("occurrence"))
    await door.take_challenge(sale.crowd, published, call.buyer, client_address(call.request))
    board = await sale.waiting.board(published.snapshot.occurrence)
    return answer(door.challenge(call.buyer, published.snapshot.occurrence, board.joins_per_s))
