"""After the sale: waits for the write-behind, audits, and looks for every promise by itself."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from uuid import UUID

from redis.asyncio import Redis

from devkit.demo.line_proof import LineFacts, prove_line
from devkit.demo.tally import Tally
from devkit.demo.venue import Venue
from devkit.demo.verdict import Facts
from engine.audit.audit import Audit, wait_for_backlog
from engine.core.settings import Settings
from engine.payments import make_provider
from engine.payments.provider import Intent, PaymentProvider
from engine.platform.postgres.session import unavailable_named
from engine.platform.valkey.connections import connect
from engine.sale.documents import Order
from engine.sale.inventory import inspection
from engine.write_behind.consumer import connect_pool

_WAIT_S = 60.0
_POLL_S = 0.2
_SEATS_TWICE = """
    SELECT seat_guid FROM tickets WHERE occurrence_id = $1 AND status = 'valid'
    AND seat_guid IS NOT NULL GROUP BY seat_guid HAVING count(*) > 1
"""
_SOLD = """
    SELECT ticket_type, count(*) FROM tickets
    WHERE occurrence_id = $1 AND status = 'valid' GROUP BY ticket_type
"""
_STATES = "SELECT id, state FROM orders WHERE occurrence_id = $1"

Say = Callable[[str], None]


async def prove(
    settings: Settings, occurrence: str, venue: Venue, say: Say
) -> tuple[Facts, LineFacts, Counter[str]]:
    """Return the facts, those of the line, and the valid tickets of each type.

    Raises :class:`engine.core.errors.OnsaleError` when a server is away.
    """
    client = connect(settings.redis_url)
    pool = await connect_pool(settings.database_url)
    provider = make_provider(settings)
    try:
        say("waiting for orders that are being closed")
        orders = await _closed(client, occurrence)
        say("waiting for the write-behind")
        unwritten = await wait_for_backlog(client, seconds=_WAIT_S, progress=lambda _: None)
        with unavailable_named(settings.database_url):
            async with pool.acquire() as connection:
                say("auditing")
                (report,) = await Audit(client, connection, provider, say).run([occurrence])
                place = UUID(occurrence)
                states = {r["id"].hex: r["state"] for r in await connection.fetch(_STATES, place)}
                sold = Counter({r[0]: r[1] for r in await connection.fetch(_SOLD, place)})
                twice = [row[0] for row in await connection.fetch(_SEATS_TWICE, place)]
                say("checking the draw and the order of the line")
                line = await prove_line(
                    connection,
                    settings.public_url,
                    occurrence,
                    venue.lobby.commitment,
                    venue.line.places,
                )
        say("asking the payment provider")
        intents = await _intents(provider, orders)
    finally:
        await provider.close()
        pool.terminate()
        await client.aclose()
    tally, pools = venue.tally, {kind.code: kind.pool for kind in venue.hall.kinds.values()}
    by_pool: Counter[str] = Counter()
    for ticket_type, count in sold.items():
        by_pool[pools.get(ticket_type, ticket_type)] += count
    facts = Facts(
        capacity=dict(venue.hall.capacity),
        sold=dict(by_pool),
        refunds=sum(state == "refunded" for state in states.values()),
        seats_twice=twice,
        lost=lost(tally, states, intents),
        charged_twice=charged_twice(orders, intents),
        missing=sorted(
            item.order
            for item in tally.purchases.values()
            if item.state == "confirmed" and states.get(item.order) != "confirmed"
        ),
        unwritten=unwritten,
        audit=[
            f"{check.name}: {finding.subject}: {finding.detail}"
            for check in report.checks
            for finding in check.findings
        ],
        seen=tally.broken + venue.line.broken,
        inversions=list(line.fairness.findings),
        draw=line.wrong,
    )
    return facts, line, sold


def lost(tally: Tally, states: Mapping[str, str], intents: list[Intent]) -> list[str]:
    """Return the orders with money that are neither confirmed nor refunded."""
    kept = {item.order for item in intents if item.captured > item.refunded}
    paid = {item.order for item in tally.purchases.values() if item.paid}
    return sorted(
        order
        for order in kept | paid
        if states.get(order) != ("confirmed" if order in kept else "refunded")
    )


def charged_twice(orders: Mapping[str, Order], intents: list[Intent]) -> list[str]:
    """Return the buyers who paid for more than they were sold."""
    paid: Counter[str] = Counter()
    owed: Counter[str] = Counter()
    for intent in intents:
        paid[orders[intent.order].buyer] += intent.captured - intent.refunded
    for order in orders.values():
        if order.state == "confirmed":
            owed[order.buyer] += order.total
    return sorted(buyer for buyer, amount in paid.items() if amount > owed[buyer])


async def _closed(client: Redis, occurrence: str) -> dict[str, Order]:
    """Return all orders, once none is on its way to another state (or the time is up)."""
    shard = await inspection.shard_of(client, occurrence)
    deadline = asyncio.get_running_loop().time() + _WAIT_S
    while True:
        orders = {
            order.id: order async for order in inspection.iter_orders(client, shard, occurrence)
        }
        if asyncio.get_running_loop().time() > deadline or not any(map(_moving, orders.values())):
            return orders
        await asyncio.sleep(_POLL_S)


def _moving(order: Order) -> bool:
    money = order.payment.everything if order.payment else []
    return any(item.is_followed for item in money) or order.state in {"pending", "cancelling"}


async def _intents(provider: PaymentProvider, orders: Mapping[str, Order]) -> list[Intent]:
    since = min((order.placed_at for order in orders.values()), default=0) // 1000 - 60
    return [
        intent
        async for intent in provider.intents(created_after_s=max(since, 0))
        if intent.order in orders
    ]
