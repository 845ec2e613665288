"""What must hold after every load on an installation with a waiting room, from all its books."""

from __future__ import annotations

from uuid import UUID

import asyncpg
import msgspec
from redis.asyncio import Redis

from engine.audit.audit import Audit, wait_for_backlog
from engine.audit.fairness import read_fairness
from engine.core.settings import Settings
from engine.payments import make_provider
from engine.platform.valkey import keys
from engine.platform.valkey.connections import connect
from engine.queue import store as waiting
from engine.queue.draw.public import download
from engine.queue.draw.verification import mistakes
from engine.sale.inventory import inspection
from engine.write_behind.consumer import connect_pool

_BACKLOG_S = 60.0
_INSIDE = """
    SELECT kind, number FROM queue_events
    WHERE occurrence_id = $1 AND kind IN ('queue.entered', 'queue.ended')
    ORDER BY split_part(entry, '-', 1)::int8, split_part(entry, '-', 2)::int8
"""
_STRANGERS = """
    SELECT count(*) FROM orders o WHERE o.occurrence_id = $1 AND NOT EXISTS (
        SELECT FROM queue_events e WHERE e.occurrence_id = o.occurrence_id
        AND e.kind = 'queue.entered' AND e.buyer = o.buyer
    )
"""


class Books(msgspec.Struct, kw_only=True):
    """What was found. ``wrong``: a sentence for everything that must not be.

    ``inside_most``: buyers inside at the same time, ``cap``: as many may be.
    ``strangers``: orders of buyers who never went in.
    """

    orders: int
    tickets: int
    places: int
    entered: int
    no_shows: int
    inversions: int
    inside_most: int
    cap: int
    strangers: int
    wrong: list[str]


async def read_books(settings: Settings, occurrence: str) -> Books:
    """Return what there is after a load on ``occurrence``, whose room was on from its beginning.

    Raises :class:`engine.core.errors.OnsaleError` and what the servers' clients raise.
    """
    client = connect(settings.redis_url)
    pool = await connect_pool(settings.database_url)
    provider = make_provider(settings)
    wrong = []
    try:
        unwritten = await wait_for_backlog(client, seconds=_BACKLOG_S, progress=lambda _: None)
        if unwritten:
            wrong.append(f"{unwritten} records were not written behind")
        async with pool.acquire() as connection:
            (report,) = await Audit(client, connection, provider).run([occurrence])
            fairness = await read_fairness(connection, occurrence)
            inside_most = await _inside_most(connection, occurrence)
            strangers = await connection.fetchval(_STRANGERS, UUID(occurrence))
        shard = await inspection.shard_of(client, occurrence)
        line = (await waiting.read_queue(client, shard, occurrence)).queue
        places = await _places(client, shard, occurrence)
    finally:
        await provider.close()
        pool.terminate()
        await client.aclose()
    wrong += [f"{c.name}: {f.subject}: {f.detail}" for c in report.checks for f in c.findings]
    wrong += [f"inversion: {finding}" for finding in fairness.findings]
    given = line.count + (line.slow if line.drawn < 0 else 0) - line.gone
    if places != given:
        wrong.append(f"{given} places are given, and {places} buyers have one")
    if inside_most > line.cap:
        wrong.append(f"{inside_most} were inside at the same time, {line.cap} may be")
    if strangers:
        wrong.append(f"{strangers} orders are of buyers who never went in")
    draw, roster = await download(settings.public_url, occurrence, lambda *_: None)
    if draw.drawn:
        wrong += mistakes(draw, roster, None)
    return Books(
        orders=report.orders,
        tickets=report.tickets,
        places=places,
        entered=fairness.entered,
        no_shows=fairness.no_shows,
        inversions=fairness.inversions,
        inside_most=inside_most,
        cap=line.cap,
        strangers=strangers,
        wrong=wrong,
    )


async def _inside_most(connection: asyncpg.Connection, occurrence: str) -> int:
    """Return how many were inside at the most, by the records of coming and going."""
    inside: set[int] = set()
    most = 0
    for kind, number in await connection.fetch(_INSIDE, UUID(occurrence)):
        if kind == "queue.entered":
            inside.add(number)
            most = max(most, len(inside))
        else:
            inside.discard(number)
    return most


async def _places(client: Redis, shard: int, occurrence: str) -> int:
    found: int = await client.hlen(f"{keys.prefix(shard, occurrence)}:places")
    return found
