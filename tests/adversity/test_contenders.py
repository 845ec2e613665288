"""N contenders for K places through two API processes: exactly K winners."""

from __future__ import annotations

import asyncio
from collections import Counter

from engine.sale.inventory.snapshot import Snapshot
from tests.adversity.stand import Crowd, Stand


async def test_every_place_has_exactly_one_winner(
    stand: Stand, snapshot: Snapshot, crowd: Crowd
) -> None:
    base = f"{stand.url}/v1/occurrences/{snapshot.occurrence}"
    seat = snapshot.sections[0].rows[0].seats[0]
    kind = next(k.code for k in snapshot.ticket_types if k.category == seat.category)
    buyers = await asyncio.gather(*(crowd.guest() for _ in range(120)))

    async def contend(buyer: str, line: dict[str, object]) -> int:
        status, _ = await crowd.request(
            "POST", f"{base}/holds", buyer=buyer, body={"lines": [line]}
        )
        return status

    one = await asyncio.gather(
        *(contend(buyer, {"ticket_type": kind, "seats": [seat.guid]}) for buyer in buyers)
    )
    assert Counter(one) == {201: 1, 409: 119}
    # 248 standing places, 10 a buyer: 24 buyers get 10, and 8 are left that no ten fit into
    losers = [buyer for buyer, status in zip(buyers, one, strict=True) if status == 409]
    many = await asyncio.gather(
        *(contend(buyer, {"ticket_type": "standing", "quantity": 10}) for buyer in losers)
    )
    assert Counter(many) == {201: 24, 409: 95}
    await stand.conserved(snapshot)
    assert all(api.running for api in stand.apis)
