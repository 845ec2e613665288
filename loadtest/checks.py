"""What must hold after every load: nothing oversold, nothing leaked."""

from __future__ import annotations

from redis.asyncio import Redis

from engine.audit.tally import Tally, check_conservation
from engine.sale.inventory import inspection


class CheckError(Exception):
    """A promise was broken under load; the message says which."""


async def check_stock(client: Redis, occurrence: str) -> tuple[int, int]:
    """Compare counters, seats, holds and orders of an occurrence at rest; Redis alone.

    Returns (holds, tickets held or sold). Raises :class:`CheckError` naming what does not agree.
    """
    shard = await inspection.shard_of(client, occurrence)
    snapshot = await inspection.read_snapshot(client, occurrence)
    counters = await inspection.read_counters(client, shard, occurrence)
    sections = await inspection.read_seats(client, shard, occurrence)
    tally = Tally(snapshot)
    holds = tickets = 0
    async for hold in inspection.iter_holds(client, shard, occurrence):
        tally.add(hold.lines, f"hold {hold.id}", sold=False)
        holds += 1
        tickets += sum(line.quantity for line in hold.lines)
    async for order in inspection.iter_orders(client, shard, occurrence):
        if order.state in {"pending", "cancelling", "confirmed"}:
            tally.add(order.lines, f"order {order.id}", sold=order.state == "confirmed")
            tickets += sum(line.quantity for line in order.lines)
    checks = (
        check_conservation(snapshot, counters, sections),
        tally.check_seats(sections),
        tally.check_counters(counters),
    )
    wrong = [
        f"{check.name}: {finding.subject}: {finding.detail}"
        for check in checks
        for finding in check.findings
    ]
    if wrong:
        raise CheckError(f"the stock of {occurrence} does not agree: " + "; ".join(wrong[:5]))
    return holds, tickets
