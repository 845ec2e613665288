"""Order numbers go on where they were, also when Redis has lost count."""

from __future__ import annotations

from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from engine.platform.valkey import keys
from engine.sale.orders.sequences import raise_sequence
from engine.write_behind.models import sequences


async def continue_numbers(session: AsyncSession, client: Redis, shard: int) -> None:
    """See to it that no order of the shard gets a number that PostgreSQL has already."""
    of_orders = await session.scalar(text(sequences.OF_ORDERS.format(":shard")), {"shard": shard})
    parked = await session.scalars(
        text(sequences.PARKED.format(":stream")), {"stream": keys.stream(shard)}
    )
    await raise_sequence(client, shard, sequences.highest(of_orders or 0, parked))
