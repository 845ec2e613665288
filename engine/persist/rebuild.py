"""Restores the Redis side of an occurrence from PostgreSQL and the streams (J5).

The order of the steps is what makes it safe:

1. The occurrence is taken off sale: without its configuration every command of
   the hot plane is refused, so from here on nothing changes and no record is
   added, whatever still runs. (Webhooks are refused too; the provider repeats them.)
2. The holds that can still be read are kept.
3. The shard's stream is written to PostgreSQL to its end.
4. Everything is written anew from PostgreSQL; the configuration comes last.

Killed anywhere, the occurrence stays off sale, and running it again goes on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import asyncpg
import msgspec
from redis.asyncio import Redis

from engine.core.documents import Hold, Order
from engine.core.errors import ConflictError, NotFoundError, OccurrenceUnknownError, OnsaleError
from engine.core.snapshot import Snapshot
from engine.persist import dead_letters
from engine.persist.consumer import Consumer
from engine.persist.names import read_snapshot
from engine.persist.tables import Connected
from engine.settings import Settings
from engine.store import inspection, keys, restoration
from engine.store.inspection import SaleClock
from engine.store.restoration import Restored

log = logging.getLogger(__name__)

_PAGE: Final = 500
_DRAIN_S: Final = 60.0  # without any progress; a dead consumer's records are claimed after 5 s
_HOLDS_MAX: Final = 1_000_000
_FIRST: Final = "00000000000000000000000000000000"
_decoder: Final = msgspec.msgpack.Decoder(Order)

Progress = Callable[[str, int, int], None]  # what is done, how many, of how many


class _Remains(msgspec.Struct, kw_only=True):
    """What of the Redis side could still be read."""

    published: bool = False
    clock: SaleClock | None = None
    version: int = 0
    counter_names: list[str] | None = None


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
    ``ConflictError`` when it is on sale and not paused, when records of its
    shard are parked, or when two orders have the same stock;
    ``DatabaseUnavailableError``, ``RedisError``.
    """
    async with pool.acquire() as connection:
        shard, snapshot = await _wanted(connection, occurrence)
        remains = await _remains(client, shard, occurrence)
        if not force:
            await _refuse(connection, shard, remains)
        await restoration.withdraw(client, shard, occurrence)
        holds = await _holds(client, shard, occurrence)
        await _drain(client, pool, settings, shard, progress)
        total = await connection.fetchval(
            "SELECT count(*) FROM orders WHERE occurrence_id = $1", occurrence
        )
        sequence = await connection.fetchval(
            "SELECT coalesce(max(sequence), 0) FROM orders WHERE shard = $1", shard
        )
        clock = remains.clock or await _guessed_clock(connection, snapshot)
        return await restoration.restore(
            client,
            snapshot,
            shard,
            orders=_orders(connection, occurrence, total, progress),
            holds=holds,
            sequence=sequence,
            # higher than any before: publications count from 1, one a publication
            version=max(remains.version + 1, int(time.time())),
            counter_names=remains.counter_names,
            clock=clock,
        )


async def _wanted(connection: Connected, occurrence: str) -> tuple[int, Snapshot]:
    shard = await connection.fetchval("SELECT shard FROM occurrences WHERE id = $1", occurrence)
    if shard is None:
        raise NotFoundError(f"PostgreSQL has no occurrence {occurrence}")
    try:
        return shard, await read_snapshot(connection, occurrence)
    except ValueError as error:
        raise NotFoundError(f"{error}: publish it instead") from error


async def _remains(client: Redis, shard: int, occurrence: str) -> _Remains:
    remains = _Remains()
    try:
        configuration = await inspection.read_configuration(client, shard, occurrence)
    except OccurrenceUnknownError:
        pass
    else:
        remains.published = True
        remains.version = configuration.version
        remains.counter_names = configuration.names
    if await client.exists(f"{keys.prefix(shard, occurrence)}:clock"):
        remains.clock = await inspection.read_clock(client, shard, occurrence)
    return remains


async def _refuse(connection: Connected, shard: int, remains: _Remains) -> None:
    if remains.published and not (remains.clock and remains.clock.paused_since):
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
    holds: list[Hold] = []
    try:
        async for hold in inspection.iter_holds(client, shard, occurrence):
            if len(holds) >= _HOLDS_MAX:
                break
            holds.append(hold)
    except (msgspec.MsgspecError, OnsaleError) as error:
        log.warning("holds after the %dth cannot be read and are dropped: %s", len(holds), error)
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
