"""What is free, as everybody in the hall sees it: the live seat map, kept up to date."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import Any

import aiohttp
import orjson

from devkit.demo.shop import Shop

Json = dict[str, Any]

_FREE = ord(".")
_AGAIN_S = 0.5
_LOOKS = 12  # places in a section that a buyer looks at before taking what there is


class Kind:
    """A ticket type. ``pool``: what it shares its stock with; ``seats``: whether it has any."""

    def __init__(self, view: Json) -> None:
        self.code: str = view["code"]
        self.name: str = view["name"]
        self.pool: str = view["category"] or view["name"]
        self.seats = view["kind"] == "seat"
        self.max_per_order: int = view["max_per_order"]
        self.free: int = view["free"]


class Hall:
    """The picture. ``load`` it, then keep :meth:`watch` running."""

    def __init__(self, shop: Shop, session: aiohttp.ClientSession) -> None:
        self._shop = shop
        self._session = session
        self._sections: list[bytearray] = []
        self._guids: list[dict[int, tuple[str, int]]] = []
        self.kinds: dict[str, Kind] = {}
        self.capacity: dict[str, int] = {}  # of each pool, in the order of the ticket types
        self._of_category: list[list[Kind]] = []

    async def load(self) -> None:
        """Read ticket types and seats of an occurrence that nobody has bought of yet."""
        view, plan = await asyncio.gather(self._shop.occurrence(), self._shop.seat_map())
        self.kinds = {item["code"]: Kind(item) for item in view["ticket_types"]}
        self._of_category = [
            [kind for kind in self.kinds.values() if kind.seats and kind.pool == item["name"]]
            for item in plan["categories"]
        ]
        self._guids = [
            {
                row["at"] + index: (seat["guid"], seat["category"])
                for row in section["rows"]
                for index, seat in enumerate(row["seats"])
            }
            for section in plan["sections"]
        ]
        seats: dict[str, int] = {}
        for section in self._guids:
            for _, category in section.values():
                name = plan["categories"][category]["name"]
                seats[name] = seats.get(name, 0) + 1
        for kind in self.kinds.values():
            self.capacity.setdefault(kind.pool, seats.get(kind.pool, kind.free))

    @property
    def free(self) -> int:
        """How many tickets can be held now."""
        return sum(
            max((kind.free for kind in self.kinds.values() if kind.pool == pool), default=0)
            for pool in self.capacity
        )

    def available(self) -> list[Kind]:
        """Return the ticket types of which something is free."""
        return [kind for kind in self.kinds.values() if kind.free > 0]

    def choose(self, rng: random.Random, count: int) -> tuple[Kind, list[str]] | None:
        """Choose up to ``count`` free neighbours somewhere on the map; None when all is taken."""
        order = list(range(len(self._sections)))
        rng.shuffle(order)
        for index in order:
            found = self._neighbours(rng, index, count)
            if found:
                kinds = self._of_category[self._guids[index][found[0]][1]]
                kinds = [kind for kind in kinds if kind.free > 0]
                if kinds:
                    kind = rng.choice(kinds)
                    found = found[: kind.max_per_order]
                    return kind, [self._guids[index][position][0] for position in found]
        return None

    def _neighbours(self, rng: random.Random, index: int, count: int) -> list[int]:
        states, guids = self._sections[index], self._guids[index]
        best: list[int] = []
        for _ in range(_LOOKS):
            start = states.find(_FREE, rng.randrange(len(states)))
            if start < 0:
                start = states.find(_FREE)
            if start < 0:
                return []
            run = [start]
            while (
                len(run) < count
                and (after := run[-1] + 1) in guids
                and states[after] == _FREE
                and guids[after][1] == guids[start][1]
            ):
                run.append(after)
            if len(run) == count:
                return run
            best = max(best, run, key=len)
        return best

    async def watch(self) -> None:
        """Keep the picture up to date until cancelled; connect again when that breaks off."""
        while True:
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                async with self._session.ws_connect(self._shop.live_url, heartbeat=10) as socket:
                    async for message in socket:
                        if message.type is aiohttp.WSMsgType.TEXT:
                            self._apply(orjson.loads(message.data))
            await asyncio.sleep(_AGAIN_S)

    def _apply(self, message: Json) -> None:
        if message["type"] == "snapshot":
            self._sections = [bytearray(states.encode()) for states in message["sections"]]
        else:
            for section, position, state in message["seats"]:
                self._sections[section][position] = ord(state)
        for code, count in message["counts"].items():
            self.kinds[code].free = count["free"]
