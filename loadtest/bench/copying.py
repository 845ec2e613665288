"""What the write-behind reaches of what PostgreSQL can take: a bare COPY of the same rows."""

from __future__ import annotations

import time
from statistics import median
from typing import Any, ClassVar
from uuid import UUID

import asyncpg
from redis.asyncio import Redis

from engine.catalogue.publish import Publication
from engine.core.settings import Settings
from engine.platform import gc_thresholds as garbage
from engine.platform.valkey import keys
from engine.sale.inventory import inspection
from engine.write_behind import tables
from engine.write_behind.consumer import Consumer, connect_pool
from loadtest.bench import commands
from loadtest.bench.context import Context
from loadtest.bench.database import postgres, publish_stadiums
from loadtest.bench.results import Figure, Ratio
from loadtest.bench.servers import both_cores
from loadtest.checks import CheckError
from loadtest.stadium import lines_by_category

_ROUNDS_MAX = 3  # each needs a stadium of its own
_SEATS_AN_ORDER = 2
_RECORDS_AN_ORDER = 2  # placed, confirmed
_ORDERS_SHARE = 0.8  # of what a stadium has room for
_DEFAULTS = Settings()


class CopyBench:
    """``copy``: orders/s through the write-behind, over a bare COPY of the rows they become."""

    name: ClassVar = "copy"

    async def run(self, context: Context) -> None:
        """Measure, with PostgreSQL and the consumer on either core."""
        with both_cores():
            await self._run(context)

    async def _run(self, context: Context) -> None:
        """Fill a stream, write it behind, copy the same rows; again with another one."""
        rounds = min(context.options.rounds, _ROUNDS_MAX)
        orders = int(context.options.seats / _SEATS_AN_ORDER * _ORDERS_SHARE)
        persisted, copied, bare = [], [], []
        garbage.look_seldom()  # as the worker does
        async with (
            context.valkey("copy") as (_, client),
            postgres(context, "copy-postgres") as database_url,
        ):
            published = await publish_stadiums(context, database_url, client, rounds)
            pool = await connect_pool(database_url)
            consumer = Consumer(
                client, pool, batch=_DEFAULTS.persist_batch, dead_max=_DEFAULTS.persist_dead_max
            )
            try:
                for number, publication in enumerate(published, start=1):
                    context.say(f"copy: round {number} of {rounds}, {orders:,} orders")
                    await _sell(client, publication, orders)
                    async with pool.acquire() as connection:
                        await connection.execute("CHECKPOINT")
                    persisted.append(orders / await _write_behind(consumer, orders))
                    async with pool.acquire() as connection:
                        await _check(connection, publication, orders)
                        copies = _Copies(connection, publication.occurrence)
                        await copies.read()
                        copied.append(orders / await copies.time("INCLUDING ALL"))
                        bare.append(orders / await copies.time("INCLUDING DEFAULTS"))
                await consumer.stop()
            finally:
                pool.terminate()
        context.results.ratios.append(
            Ratio(
                name="persisted_over_copy",
                title="orders/s persisted by the write-behind",
                limit_title="a bare COPY of the same rows: as large transactions, the same indexes",
                unit="orders/s",
                measured=persisted,
                limit=copied,
                must=0.30,
                aim=0.6,
                excludes="the limit: reading the stream, decoding, projecting, acknowledging, the"
                " orders' foreign key, and the second version of every order, which the"
                " write-behind writes too",
            )
        )
        context.results.figures.append(
            Figure(
                name="copy_without_indexes",
                title="the same COPY without indexes",
                value=median(bare),
                unit="orders/s",
                note=f"write-behind: {median(persisted):,.0f} orders/s with all keys and indexes",
            )
        )


async def _sell(client: Redis, publication: Publication, orders: int) -> None:
    """Place so many orders, then confirm them all: their records are far apart, as in a sale."""
    place = keys.prefix(publication.shard, publication.occurrence)
    snapshot = await inspection.read_snapshot(client, publication.occurrence)
    prices = [kind.tiers[0].price for kind in snapshot.ticket_types]
    of_category = {kind.category: index for index, kind in enumerate(snapshot.ticket_types)}
    by_price: dict[int, list[list[Any]]] = {}
    chosen = 0
    for category, seats in lines_by_category(snapshot, _SEATS_AN_ORDER):
        if len(seats) == 2 * _SEATS_AN_ORDER and chosen < orders:
            kind = of_category[category]
            request = commands.hold_request(kind, seats)
            by_price.setdefault(prices[kind], []).append(request)
            chosen += 1
    if chosen < orders:
        raise CheckError(f"the stadium has room for {chosen} orders, {orders} were wanted")
    bought = []
    for price, requests in by_price.items():
        bought += await commands.place_orders(client, place, requests, price)
    await commands.confirm_orders(client, place, bought)


async def _write_behind(consumer: Consumer, orders: int) -> float:
    """Write everything; return the seconds it took."""
    began, left = time.perf_counter(), orders * _RECORDS_AN_ORDER
    while left > 0:
        left -= await consumer.run_once()
    return time.perf_counter() - began


async def _check(connection: tables.Connected, publication: Publication, orders: int) -> None:
    written = await connection.fetchrow(
        "SELECT (SELECT count(*) FROM orders WHERE occurrence_id = $1 AND state = 'confirmed'),"
        " (SELECT count(*) FROM tickets WHERE occurrence_id = $1)",
        UUID(publication.occurrence),
    )
    if written is None or tuple(written) != (orders, orders * _SEATS_AN_ORDER):
        raise CheckError(f"{orders} orders were written behind, but {written} are there")


class _Copies:
    """The rows of an occurrence, copied once more into tables that are like theirs."""

    def __init__(self, connection: tables.Connected, occurrence: str) -> None:
        self._connection = connection
        self._occurrence = UUID(occurrence)
        self._rows: dict[str, list[asyncpg.Record]] = {}

    async def read(self) -> None:
        for table in tables.TABLES:
            self._rows[table.name] = await self._connection.fetch(
                f"SELECT {', '.join(table.columns)} FROM {table.name} WHERE occurrence_id = $1",  # noqa: S608 - our own names
                self._occurrence,
            )

    async def time(self, like: str) -> float:
        """Return the seconds that COPY of everything takes; ``like``: as in CREATE TABLE.

        By the same client library, in transactions of as many orders as the write-behind's.
        """
        for table in tables.TABLES:
            await self._connection.execute(
                f"CREATE TABLE copy_{table.name} (LIKE {table.name} {like})"
            )
        await self._connection.execute("CHECKPOINT")
        transactions = -(-len(self._rows[tables.ORDERS.name]) // _DEFAULTS.persist_batch)
        began = time.perf_counter()
        for part in range(transactions):
            async with self._connection.transaction():
                for table in tables.TABLES:
                    rows = self._rows[table.name]
                    first, last = (len(rows) * at // transactions for at in (part, part + 1))
                    await self._connection.copy_records_to_table(
                        f"copy_{table.name}", records=rows[first:last], columns=table.columns
                    )
        seconds = time.perf_counter() - began
        for table in tables.TABLES:
            await self._connection.execute(f"DROP TABLE copy_{table.name}")
        return seconds
