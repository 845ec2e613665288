"""One buyer in line: joins, waits, is called, and goes in or does not."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import Any

import aiohttp
import orjson

from devkit.demo.personas import Persona
from devkit.demo.shop import Guest, RefusedError
from devkit.demo.venue import Venue

Json = dict[str, Any]

_COMES_S = (0.1, 1.5)  # after being called
_PATIENCE_S = (0.5, 12.0)  # of those who leave
_LONG_S = 12.0  # who has waited so long comes when called, and is glad of a ticket
_READ_AFTER_DRAW_S = 2.0  # at most: all who listen have a number at the same moment
_OVER = frozenset({"done", "expired"})
_SETTLED = frozenset({"called", "inside", "closed"}) | _OVER


class InLine:
    """Stands in line for a buyer, with all of the buyer's devices.

    ``glad``: the buyer had to wait for long, or is here once more.
    """

    def __init__(self, persona: Persona, guest: Guest, venue: Venue) -> None:
        self._persona = persona
        self._guest = guest
        self._shop = venue.shop
        self._sockets = venue.sockets
        self._lobby = venue.lobby
        self._tally = venue.line
        self._over = venue.tally.over
        self._rng = random.Random(persona.seed ^ 1)  # noqa: S311 - a play, not a secret
        self._turns = 0
        self.glad = False

    async def get_in(self) -> bool:
        """Join, wait for the turn and go in. False: it is over, or the buyer wants no more."""
        self._turns += 1
        self.glad = self._turns > 1
        view = await self._join()
        since = max(time.perf_counter(), self._lobby.opens_at)
        plays = self._persona.in_line if self._turns == 1 else "comes"
        tries = plays == "pushes"
        patience_s = self._rng.uniform(*_PATIENCE_S)
        self._tally.standing += 1
        try:
            while not self._over.is_set():
                self._note(view)
                state = view["state"]
                if state in _OVER:
                    self._tally.counts["called in vain"] += 1
                    view = await self._join()
                elif state == "closed":
                    return False
                elif state == "called":
                    self.glad = self.glad or time.perf_counter() - since > _LONG_S
                    comes = self.glad or plays != "no_show"
                    if await self._come(view, since, comes=comes):
                        return True
                    if not comes:
                        return False
                    view = await self._join()
                elif state == "inside":
                    return True
                else:
                    waited = time.perf_counter() - since
                    if tries and state == "waiting":
                        tries = False
                        await self._push()
                    if plays == "leaves" and waited > patience_s:
                        await self._shop.leave(self._guest.token)
                        self._tally.counts["left the line"] += 1
                        return False
                    view = await self._wait(view)
        finally:
            self._tally.standing -= 1
        self._tally.counts["still in line"] += 1
        return False

    async def leave(self) -> None:
        """Give the place inside up, for somebody else."""
        await self._shop.leave(self._guest.token)

    async def _join(self) -> Json:
        proofs = self._lobby.proof
        solves, token = self._persona.solves, self._guest.token
        while not self._over.is_set():
            try:
                proof = await proofs(token, self._guest.buyer, solves=solves)
                view = await self._shop.join(token, proof)
            except RefusedError as error:
                if error.code != "queue_closed":
                    raise
                return {"state": "closed", "number": None}
            if solves:
                self._tally.counts["solved a challenge"] += 1
            if self._persona.devices > 1:
                await self._join_twice(view, proof)
            return view
        return {"state": "closed", "number": None}

    async def _join_twice(self, view: Json, proof: str) -> None:
        """Join on another device: it must be the same place."""
        self._tally.counts["joined on two devices"] += 1
        other = await self._shop.join(self._guest.token, proof)
        known = (view["number"], other["number"])
        if None not in known and known[0] != known[1]:
            self._tally.broken.append(f"{self._persona.name} has two places: {known}")

    async def _push(self) -> None:
        """Try to hold tickets without having been called."""
        try:
            await self._shop.hold(self._guest.token, self._tally.anything)
        except RefusedError as error:
            if error.code == "not_inside":
                self._tally.counts["tried to pass the line"] += 1
                return
            raise
        self._tally.broken.append(f"{self._persona.name} held tickets without being inside")

    async def _come(self, view: Json, since: float, *, comes: bool) -> bool:
        """Go in, or do not. Returns whether the buyer is inside."""
        self._tally.called(view["number"], time.perf_counter() - since)
        if not comes:
            self._tally.counts["did not come"] += 1
            return False
        await asyncio.sleep(self._rng.uniform(*_COMES_S))
        try:
            inside = await self._shop.enter(self._guest.token)
        except RefusedError as error:
            if error.code not in {"place_expired", "queue_closed"}:
                raise
            self._tally.counts["called in vain"] += 1
            return False
        if inside["state"] != "inside":
            self._tally.broken.append(f"{self._persona.name} went in and is {inside['state']}")
        return True

    async def _wait(self, view: Json) -> Json:
        """Wait as long as the shop says, or on a socket, and return the place as it is then."""
        if self._persona.listens:
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                return await self._listen(view)
        await self._pause(view["ask_in_ms"] / 1000)
        return await self._place()

    async def _place(self) -> Json:
        try:
            return await self._shop.place(self._guest.token)
        except RefusedError as error:
            if error.code != "not_in_queue":
                raise
        raise LookupError(f"{self._persona.name} had a place in line and has none any more")

    async def _listen(self, view: Json) -> Json:
        """Wait for a word to this buyer, or for the draw."""
        url = await self._shop.line_url(self._guest.token)
        async with self._sockets.ws_connect(url) as socket:
            with self._tally.listening(socket):
                return await self._hear(socket, numbered=view["number"] is not None)

    async def _hear(self, socket: aiohttp.ClientWebSocketResponse, *, numbered: bool) -> Json:
        async for packet in socket:
            if packet.type is not aiohttp.WSMsgType.TEXT:
                break
            message: Json = orjson.loads(packet.data)
            if message["kind"] == "you" and message["state"] in _SETTLED:
                return message
            if message["kind"] == "serving" and message["drawn"] and not numbered:
                numbered = True
                await self._pause(self._rng.uniform(0.0, _READ_AFTER_DRAW_S))
                self._note(await self._place())
        return await self._place()

    def _note(self, view: Json) -> None:
        if view["number"] is not None:
            self._tally.place(self._guest.buyer, view["roster_index"], view["number"])

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._over.wait(), seconds)
