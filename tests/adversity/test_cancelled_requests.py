"""Clients that go away at any moment: no reply ever reaches another buyer."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from engine.sale.inventory.snapshot import Snapshot
from tests.adversity.stand import Crowd, Stand


async def test_requests_cancelled_at_any_await_never_cross(
    stand: Stand, snapshot: Snapshot, crowd: Crowd
) -> None:
    """1 % of the requests are cut off; every answer to the others is its own buyer's."""
    dice = random.Random(3)  # noqa: S311 - a test's dice
    base = f"{stand.url}/v1/occurrences/{snapshot.occurrence}"
    buyers = await asyncio.gather(*(crowd.guest() for _ in range(40)))
    holds: dict[str, str] = {}
    cut = read = 0

    async def call(buyer: str, method: str, path: str, body: Any = None) -> Any:
        nonlocal cut
        request = asyncio.ensure_future(crowd.request(method, base + path, buyer=buyer, body=body))
        if dice.random() < 0.01:
            for _ in range(dice.randrange(30)):
                await asyncio.sleep(0)
            request.cancel()
            cut += 1
            await asyncio.gather(request, return_exceptions=True)
            return None
        return await request

    async def shop(buyer: str) -> None:
        nonlocal read
        for _ in range(40):
            line = {"ticket_type": "standing", "quantity": 1}
            answer = await call(buyer, "POST", "/holds", {"lines": [line]})
            if answer is None:
                continue
            status, hold = answer
            if status == 409:  # from a request that was cut off, yet made: it is the buyer's own
                assert hold["code"] == "hold_exists", hold
                hold = {"id": hold["hold"]}
            owner = holds.setdefault(hold["id"], buyer)
            assert owner == buyer
            seen = await call(buyer, "GET", f"/holds/{hold['id']}")
            if seen is not None and seen[0] == 200:
                assert seen[1]["id"] == hold["id"], seen
                read += 1
            elif seen is not None:  # by a release that was cut off and came through after all
                assert seen[1]["code"] == "hold_ended", seen
            await call(buyer, "DELETE", f"/holds/{hold['id']}")

    await asyncio.gather(*(shop(buyer) for buyer in buyers))
    assert cut > 10
    assert read > 1000
    await stand.conserved(snapshot)
