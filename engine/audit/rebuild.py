"""Rebuild: restores the Valkey side of an occurrence from PostgreSQL and the streams.

The order of the steps is what makes it safe:

1. The occurrence is noted as being rebuilt and taken off sale: without its
   configuration every command of the hot plane is refused, so from here on
   nothing changes and no record is added, whatever still runs. (Webhooks are
   refused too; the provider repeats them.)
2. The holds that can still be read are looked up.
3. The shard's stream is written to PostgreSQL to its end.
4. Everything is written anew from PostgreSQL; the configuration comes last.

Killed anywhere, the occurrence stays off sale, nothing that only Redis has is
lost, and whoever comes next goes on: the same command again, or a worker.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
import msgspec
from redis.asyncio import Redis

from engine.core.errors import ConflictError, NotFoundError
from engine.core.settings import Settings
from engine.platform.valkey import keys
from engine.sale.documents import Hold, Order
from engine.sale.inventory import inspection, restoration
from engine.sale.inventory.inspection import SaleClock
from engine.sale.inventory.restoration import Restored
from engine.sale.inventory.snapshot import Snapshot
from engine.sale.orders.sequences import raise_position
from engine.write_behind import dead_letters
from engine.write_behind.consumer import Consumer
from engine.write_behind.models import sequences
from engine.write_behind.names import read_snapshot
from engine.write_behind.tables import Connected

log = logging.getLogger(__name__)

_PAGE: Final = 500
_DRAIN_S: Final = 60.0  # without any progress; a dead consumer's records are claimed after 5 s
_HOLDS_MAX: Final = 1_000_000
_ROUND_S: Final = 5.0
_TRY_LOCK: Final = "SELECT pg_try_advisory_lock($1, hashtext($2))"
_UNLOCK: Final = "SELECT pg_advisory_unlock($1, hashtext($2))"
_LOCK_CLASS: Final = 0x6F6E  # of advisory locks on rebuilds: "on"
# Who has a seat last is told by the stream, also when it began anew (docs/adr/0013).
_NEWEST: Final = """
    SELECT max(split_part(entry, '-', 1)::int8) FROM order_events WHERE occurrence_id = $1"""
_FIRST: Final = "00000000000000000000000000000000"
_decoder: Final = msgspec.msgpack.Decoder(Order)

Progress = Callable[[str, int, int], None]  # what is done, how many, of how many


async def rebuild(
    client: Redis,
    pool: asyncpg.Pool[Any],
    settings: Settings,
    occurrence: str,
    *,
    force: bool = False,
    progress: Progress = lambda *_: None,
) -> Restored:
    """Restore an occurrence. ``force``: also while it is on sale, or with records parked.

    Raises ``NotFoundError`` when PostgreSQL has no snapshot of it,
    ``ConflictError`` when it is on sale and not paused, when somebody else
    rebuilds it, when records of its shard are parked, or when two orders have
    the same stock; ``DatabaseUnavailableError``, ``RedisError``.
    """
    async with _locked(pool, occurrence) as connection:
        shard, snapshot = await _wanted(connection, occurrence)
        if not force:
            await _refuse(client, connection, shard, occurrence)
        await restoration.withdraw(client, shard, occurrence, force=force)
        before = await restoration.read_withdrawn(client, shard, occurrence)
        holds = await _holds(client, shard, occurrence)
        await _drain(client, pool, settings, shard, progress)
        total = await connection.fetchval(
            "SELECT count(*) FROM orders WHERE occurrence_id = $1", occurrence
        )
        clock = await _clock(client, shard, occurrence)
        if newest_ms := await connection.fetchval(_NEWEST, occurrence):
            await raise_position(client, shard, newest_ms)
        return await restoration.restore(
            client,
            snapshot,
            shard,
            orders=_orders(connection, occurrence, total, progress),
            holds=holds,
            sequence=await _sequence(connection, shard),
            # higher than any before: publications count from 1, one a publication
            version=max(before.version + 1 if before else 0, int(time.time())),
            counter_names=before.names if before else None,
            clock=clock or await _guessed_clock(connection, snapshot),
        )


class Rebuilds:
    """A service that finishes rebuilds whose process has died.

    A large one takes minutes; rounds are short all the same, so that the worker
    counts as one that works.
    """

    name = "rebuilds"
    interval_s = 15.0  # an occurrence that nobody is mending is off sale for so long at most

    def __init__(self, client: Redis, pool: asyncpg.Pool[Any], settings: Settings) -> None:
        self._client = client
        self._pool = pool
        self._settings = settings
        self._work: asyncio.Task[int] | None = None

    async def run_once(self) -> int:
        """Finish what nobody is working on, or go on with that; return how many were finished.

        Raises what a server that is away raises.
        """
        work = self._work = self._work or asyncio.create_task(self._finish_all())
        await asyncio.wait({work}, timeout=_ROUND_S)
        if not work.done():
            return 0
        self._work = None
        return work.result()

    async def stop(self) -> None:
        """Leave what is not finished to the next worker."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)
            self._work = None

    async def _finish_all(self) -> int:
        finished = 0
        for occurrence, force in (await restoration.unfinished(self._client)).items():
            try:
                await finish(self._client, self._pool, self._settings, occurrence, force=force)
            except (ConflictError, NotFoundError) as error:
                log.warning("the rebuild of %s is not finished: %s", occurrence, error)
            else:
                log.warning("the rebuild of %s, which had been cut off, is finished", occurrence)
                finished += 1
        return finished


async def finish(
    client: Redis, pool: asyncpg.Pool[Any], settings: Settings, occurrence: str, *, force: bool
) -> None:
    """Finish a rebuild that was cut off. Raises as :func:`rebuild`."""
    async with _locked(pool, occurrence) as connection:
        shard, _ = await _wanted(connection, occurrence)
        if await restoration.finish(client, shard, occurrence):
            return  # it is on sale: cut off before the first step, or after the last
    await rebuild(client, pool, settings, occurrence, force=force)


@asynccontextmanager
async def _locked(pool: asyncpg.Pool[Any], occurrence: str) -> AsyncIterator[Connected]:
    """Give a connection on which nobody else rebuilds this; it ends with the process."""
    async with pool.acquire() as connection:
        if not await connection.fetchval(_TRY_LOCK, _LOCK_CLASS, occurrence):
            raise ConflictError("this occurrence is being rebuilt by another process: wait for it")
        try:
            yield connection
        finally:
            if not connection.is_closed():
                await connection.execute(_UNLOCK, _LOCK_CLASS, occurrence)


async def _wanted(connection: Connected, occurrence: str) -> tuple[int, Snapshot]:
    shard = await connection.fetchval("SELECT shard FROM occurrences WHERE id = $1", occurrence)
    if shard is None:
        raise NotFoundError(f"PostgreSQL has no occurrence {occurrence}")
    try:
        return shard, await read_snapshot(connection, occurrence)
    except ValueError as error:
        raise NotFoundError(f"{error}: publish it instead") from error


async def _clock(client: Redis, shard: int, occurrence: str) -> SaleClock | None:
    if await client.exists(f"{keys.prefix(shard, occurrence)}:clock"):
        return await inspection.read_clock(client, shard, occurrence)
    return None


async def _sequence(connection: Connected, shard: int) -> int:
    parked = await connection.fetch(sequences.PARKED.format("$1"), keys.stream(shard))
    return sequences.highest(
        await connection.fetchval(sequences.OF_ORDERS.format("$1"), shard),
        (row["record"] for row in parked),
    )


async def _refuse(client: Redis, connection: Connected, shard: int, occurrence: str) -> None:
    if await client.exists(f"{keys.prefix(shard, occurrence)}:conf"):
        clock = await _clock(client, shard, occurrence)
        if not (clock and clock.paused_since):
            raise ConflictError(
                "this occurrence is on sale: pause it first (`onsale pause`), or rebuild it with"
                " --force; then it is off sale until it is rebuilt, some seconds"
            )
    async for letter in dead_letters.waiting(connection):
        if letter.entry.stream == keys.stream(shard):
            raise ConflictError(
                "records of this shard are parked, so PostgreSQL may lack orders: repair them"
                " (`onsale dead-letters list`, `replay`), or leave them out with --force"
            )


async def _holds(client: Redis, shard: int, occurrence: str) -> list[Hold]:
    def tell(error: Exception) -> None:
        log.warning("a buyer's document cannot be read, a hold in it is dropped: %s", error)

    holds: list[Hold] = []
    async for hold in inspection.iter_holds(client, shard, occurrence, tell):
        if len(holds) >= _HOLDS_MAX:
            break
        holds.append(hold)
    return holds


async def _drain(
    client: Redis, pool: asyncpg.Pool[Any], settings: Settings, shard: int, progress: Progress
) -> None:
    """Write the shard's stream to its end, beside the workers if any run."""
    consumer = Consumer(
        client, pool, batch=settings.persist_batch, dead_max=settings.persist_dead_max
    )
    loop = asyncio.get_running_loop()
    total = left = await client.xlen(keys.stream(shard))
    deadline = loop.time() + _DRAIN_S
    try:
        while left:
            await consumer.run_once()
            now_left = await client.xlen(keys.stream(shard))
            if now_left < left:
                deadline = loop.time() + _DRAIN_S
            left = now_left
            progress("records written", total - left, total)
            if left and loop.time() > deadline:
                raise ConflictError(
                    f"{left} records cannot be written now; the occurrence stays off sale:"
                    " see what the worker's log says, then run this again"
                )
    finally:
        await consumer.stop()


async def _guessed_clock(connection: Connected, snapshot: Snapshot) -> SaleClock | None:
    """Tell how long the sale was paused, from the newest order: its time to pay was that longer."""
    row = await connection.fetchrow(
        "SELECT placed_at, pay_by_ms FROM orders WHERE occurrence_id = $1"
        " ORDER BY sequence DESC LIMIT 1",
        snapshot.occurrence,
    )
    if row is None:
        return None
    paused_ms = row["placed_at"] + snapshot.payment_window_ms - row["pay_by_ms"]
    return SaleClock(paused_since=0, paused_ms=max(paused_ms, 0))


async def _orders(
    connection: Connected, occurrence: str, total: int, progress: Progress
) -> AsyncIterator[Order]:
    after: Any = _FIRST
    done = 0
    while page := await connection.fetch(
        "SELECT id, document FROM orders WHERE occurrence_id = $1 AND id > $2 ORDER BY id LIMIT $3",
        occurrence,
        after,
        _PAGE,
    ):
        for row in page:
            yield _decoder.decode(row["document"])
        done += len(page)
        progress("orders restored", done, total)
        after = page[-1]["id"]
