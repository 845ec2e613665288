"""Where everybody stands before the sale: how the line is, as the shop tells all of them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import msgspec

from devkit.demo.shop import RefusedError, Shop, UnavailableError
from engine.queue.gate.proof_of_work import Challenge, make_challenge, proof_keys, solve

Json = dict[str, Any]

_LOOK_S = 0.5


class Lobby:
    """The line of an occurrence, and its door. ``load`` it, then keep :meth:`watch` running."""

    def __init__(self, shop: Shop, occurrence: str, secret: str) -> None:
        self._shop = shop
        self._occurrence = occurrence
        self._keys = proof_keys(secret)
        self.opens_at = time.perf_counter()
        self.state = ""
        self.serving = 0
        self.waiting = 0
        self.commitment = ""

    @property
    def opens_in_s(self) -> float:
        """Seconds until the opening; negative after it."""
        return self.opens_at - time.perf_counter()

    async def load(self) -> None:
        """Note the commitment of the draw, and when the line opens."""
        self.commitment = (await self._shop.draw())["commitment"]
        await self._look()

    async def watch(self) -> None:
        """Keep looking until cancelled."""
        while True:
            with contextlib.suppress(RefusedError, UnavailableError):
                await self._look()
            await asyncio.sleep(_LOOK_S)

    async def _look(self) -> None:
        found = await self._shop.serving()
        self.state, self.serving = found["state"], found["serving"]
        self.waiting = found["waiting"]
        if found["opens_in_ms"] is not None:
            self.opens_at = time.perf_counter() + found["opens_in_ms"] / 1000

    async def proof(self, token: str, buyer: str, *, solves: bool) -> str:
        """Return a proof of work for the door.

        Thousands of buyers have not a machine each here, but one all together.
        So most of their challenges are made with the installation's own secret,
        and easy; those who really solve one are few. All are checked alike.
        """
        if solves:
            given = msgspec.convert(await self._shop.challenge(token), Challenge)
            return await asyncio.to_thread(solve, given)
        return solve(make_challenge(self._keys, buyer, self._occurrence, time.time(), difficulty=1))
