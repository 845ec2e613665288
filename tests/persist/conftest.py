"""A house on sale, its occurrence in PostgreSQL, and records to write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import msgspec
import pytest
from blockbuster import BlockBuster
from redis.asyncio import Redis

from engine.core.ids import new_id
from engine.core.settings import Settings
from engine.platform.valkey import keys
from engine.sale.documents import Line, Order, Payment, RecordKind
from engine.sale.inventory import publication
from engine.sale.inventory.snapshot import Snapshot
from engine.write_behind import tables
from engine.write_behind.consumer import Consumer, connect_pool
from tests.houses import small_house
from tests.sale.conftest import box, stripe

__all__ = ["box", "stripe"]

SHARD = 5
STREAM = keys.stream(SHARD)
STALLS, BALCONY, ACCESSIBLE, STANDING, REDUCED = range(5)
NOW_MS = 1_800_000_000_000


async def enter(connection: Any, snapshot: Snapshot, shard: int = SHARD) -> None:
    """Put an occurrence and its snapshot into PostgreSQL, without the rest of its catalogue."""
    await connection.execute("SET session_replication_role = replica")  # no foreign keys
    await connection.execute(
        "INSERT INTO occurrences (id, event_id, venue_id, key, starts_at, ends_at, timezone,"
        " sale_starts_at, sale_ends_at, shard) VALUES ($1, uuidv7(), uuidv7(), 'night', now(),"
        " now() + '1 h', 'UTC', now(), now() + '1 h', $2)",
        snapshot.occurrence,
        shard,
    )
    await connection.execute("SET session_replication_role = origin")
    await enter_snapshot(connection, snapshot)


async def enter_snapshot(connection: Any, snapshot: Snapshot, version: int = 1) -> None:
    await connection.execute(
        "INSERT INTO seat_map_snapshots (occurrence_id, version, document) VALUES ($1, $2, $3)",
        snapshot.occurrence,
        version,
        msgspec.json.encode(snapshot).decode(),
    )


def ordered(snapshot: Snapshot, sequence: int, *lines: Line, **changes: Any) -> Order:
    """A pending order as the scripts write it."""
    lines = lines or (Line(type=STANDING, tier=0, price=1500, quantity=1),)
    subtotal = sum(line.price * line.quantity for line in lines)
    values: dict[str, Any] = {
        "id": new_id(),
        "occurrence": snapshot.occurrence,
        "shard": SHARD,
        "sequence": sequence,
        "buyer": new_id(),
        "hold": new_id(),
        "state": "pending",
        "version": 1,
        "currency": "EUR",
        "lines": list(lines),
        "subtotal": subtotal,
        "discount": 0,
        "platform_fee": 50,
        "payment_fee": 25,
        "tax": 10,
        "total": subtotal + 85,
        "placed_at": NOW_MS,
        "pay_by": NOW_MS + 600_000,
        "email": "ada@example.org",
        "name": "Ada",
        "payment": Payment(provider="stripe"),
        "changed_at": NOW_MS,
    }
    return Order(**{**values, **changes})


def stalls(*seats: int, price: int = 4500) -> Line:
    """Seats of the first row of section A, by position."""
    flat = [part for seat in seats for part in (0, seat)]
    return Line(type=STALLS, tier=1, price=price, quantity=len(seats), seats=flat)


def confirmed(order: Order) -> Order:
    return msgspec.structs.replace(
        order,
        state="confirmed",
        version=order.version + 1,
        confirmed_at=NOW_MS + 1_000,
        changed_at=NOW_MS + 1_000,
        payment=Payment(provider="stripe", intent=f"pi_{order.id}", captured=order.total),
    )


def owed(order: Order) -> Order:
    """A confirmed order that was taken back, its money not given back yet."""
    assert order.payment
    payment = msgspec.structs.replace(
        order.payment,
        refund=order.total,
        refund_reason="event_cancelled",
        refund_state="owed",
        moved=[],
    )
    return msgspec.structs.replace(
        order, state="refunded", version=order.version + 1, payment=payment
    )


def refunded(order: Order) -> Order:
    assert order.payment
    payment = msgspec.structs.replace(
        order.payment,
        refund_id="re_1",
        refund_state="done",
        refunded=order.payment.refund,
        moved=[0, order.payment.refund, 0, 0],
    )
    return msgspec.structs.replace(order, version=order.version + 1, payment=payment)


async def record(client: Redis, kind: RecordKind, order: Order) -> None:
    await client.xadd(keys.stream(order.shard), {"k": kind, "o": msgspec.msgpack.encode(order)})


async def value_of(client: Redis, key: str | bytes) -> bytes:
    """The bytes at a key that is there."""
    value = await client.get(key)
    assert isinstance(value, bytes)
    return value


async def until(reached: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await reached():  # noqa: ASYNC110 - it happens in another process
            await asyncio.sleep(0.01)


class Database:
    """PostgreSQL as a test looks at it."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    async def rows(self, table: str, columns: str = "*") -> list[tuple[Any, ...]]:
        found = await self.connection.fetch(f"SELECT {columns} FROM {table} ORDER BY 1, 2")  # noqa: S608 - a test's own names
        return [tuple(row) for row in found]

    async def value(self, statement: str, *arguments: Any) -> Any:
        return await self.connection.fetchval(statement, *arguments)

    async def counts(self) -> dict[str, int]:
        """How many rows each table has."""
        return {
            table.name: await self.value(f"SELECT count(*) FROM {table.name}")  # noqa: S608 - own names
            for table in tables.TABLES
        }


@pytest.fixture(autouse=True)
def connecting_may_block(blockbuster: BlockBuster) -> None:
    """Each time it connects asyncpg looks for certificates, and redis-py for its own version."""
    for function in blockbuster.functions.values():
        function.can_block_in("asyncpg/connect_utils.py", "_parse_connect_dsn_and_args")
        function.can_block_in("redis/utils.py", "get_lib_version")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    connection = await asyncpg.connect(database_url)
    await tables.prepare(connection)
    yield Database(connection)
    await connection.close()


@pytest.fixture
async def snapshot(redis_client: Redis, database: Database) -> Snapshot:
    """A published occurrence."""
    made = small_house()
    await enter(database.connection, made)
    await publication.publish(redis_client, made, shard=SHARD)
    return made


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    made = await connect_pool(database_url)
    yield made
    await made.close()


MakeConsumer = Callable[..., Consumer]


@pytest.fixture
async def make_consumer(
    redis_client: Redis, pool: asyncpg.Pool, settings: Settings
) -> AsyncIterator[MakeConsumer]:
    made: list[Consumer] = []

    def make(**changes: Any) -> Consumer:
        consumer = Consumer(
            redis_client,
            changes.pop("pool", pool),
            **{"batch": settings.persist_batch, "dead_max": 100, **changes},
        )
        made.append(consumer)
        return consumer

    yield make
    for consumer in made:
        await consumer.stop()


@pytest.fixture
def consumer(make_consumer: MakeConsumer) -> Consumer:
    return make_consumer()


async def drain(consumer: Consumer, client: Redis) -> None:
    """Run until nothing is left in the stream."""
    while await client.xlen(STREAM):
        await consumer.run_once()
