"""The write-behind: brings the records of all shards' streams to PostgreSQL.

Records are read through a consumer group, written, committed, and only then
deleted and acknowledged. Killed anywhere in between, the same records are read
again, by this process or by another that claims them, and writing them again
changes nothing. While one batch is written the next is read. What cannot be
written is parked after the rest of its batch, in one place for all lanes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, Final

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from engine.core.errors import OnsaleError
from engine.core.ids import new_id
from engine.platform.postgres.errors import DatabaseUnavailableError
from engine.platform.valkey.keys import STREAMS
from engine.sale.documents import Order
from engine.write_behind import metrics, tables
from engine.write_behind.applier import Applier, Bad
from engine.write_behind.parking import Parking
from engine.write_behind.records import AnyRecord, Entry, Record, decode, read_entry

log = logging.getLogger(__name__)

GROUP: Final = "persist"
# Two transactions at a time: while PostgreSQL works on one, this process prepares the other.
# Each order belongs to one lane, and so do all orders of a seat that changes hands, so they never
# wait for each other's rows. A third gains nothing on two cores (measured).
LANES: Final = 2
BLOCK_MS: Final = 250  # how long an idle read waits, and so how long a stop may take
CLAIM_IDLE_MS: Final = 5_000  # ten times the longest commit measured; too early does no harm
_CLAIM_EVERY_S: Final = 2.0
_ROUND_S: Final = 5.0  # what is claimed may be a lot, and rounds are what tells that it works
# A consumer that is cut off in mid-transaction must not keep its locks from all others.
_IDLE_IN_TRANSACTION_MS: Final = 15_000


async def connect_pool(database_url: str) -> asyncpg.Pool[Any]:
    """Return a pool for :class:`Consumer`. It connects when used: PostgreSQL may be away."""
    return await asyncpg.create_pool(
        database_url,
        min_size=0,
        max_size=LANES + 1,
        init=tables.prepare,
        timeout=5,
        command_timeout=60,
        server_settings={"idle_in_transaction_session_timeout": str(_IDLE_IN_TRANSACTION_MS)},
    )


class Batch:
    """Entries that are written together, the ones that are no records apart; each once."""

    def __init__(self) -> None:
        self.bad: list[Bad] = []
        self._records: list[AnyRecord] = []  # that are in no lane yet
        self._lanes: list[list[AnyRecord]] = [[] for _ in range(LANES)]
        self._seen: set[tuple[str, bytes]] = set()

    def __len__(self) -> int:
        """Return how many were added, whether or not they are written by now."""
        return len(self._seen)

    @property
    def left(self) -> int:
        """How many are neither written nor parked."""
        return len(self._records) + sum(map(len, self._lanes)) + len(self.bad)

    def add(self, stream: str, entries: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> None:
        """Add what Redis answered for a stream."""
        for entry_id, fields in entries:
            if (stream, entry_id) in self._seen:
                continue
            self._seen.add((stream, entry_id))
            entry = read_entry(stream, entry_id, fields)
            try:
                self._records.append(decode(entry))
            except ValueError as error:
                self.bad.append(Bad(entry, error))

    def lanes(self) -> list[list[AnyRecord]]:
        """Return the lanes; who writes takes away what is done.

        All orders that have a seat which one of them gives back are in one
        lane, where whatever frees the seat comes before whatever takes it.
        """
        returned = {
            seat
            for record in self._records
            if isinstance(record, Record) and _is_returned(record.order)
            for seat in _seats(record.order)
        }
        for record in self._records:
            if not isinstance(record, Record):
                lane = min(self._lanes, key=len)  # a waiting room's row waits for no other row
            elif returned and not returned.isdisjoint(_seats(record.order)):
                lane = self._lanes[0]
            else:
                lane = self._lanes[int(record.order.id[-1:], 16) % LANES]
            lane.append(record)
        self._records = []
        return self._lanes


def _is_returned(order: Order) -> bool:
    return order.confirmed_at > 0 and order.state != "confirmed"


def _seats(order: Order) -> Iterator[tuple[str, int, int]]:
    for line in order.lines:
        for section, position in zip(line.seats[::2], line.seats[1::2], strict=False):
            yield order.occurrence, section, position


class Consumer:
    """One consumer of the group. A service for :mod:`engine.platform.jobs.runner`.

    ``batch``: records a transaction. ``dead_max``: see :mod:`engine.write_behind.parking`.
    ``claim_idle_ms``: how long a record stays with a consumer that does not
    acknowledge it.
    """

    name = "persist"
    interval_s = 0.0  # an idle read waits by itself

    def __init__(
        self,
        client: Redis,
        pool: asyncpg.Pool[Any],
        *,
        batch: int,
        dead_max: int,
        claim_idle_ms: int = CLAIM_IDLE_MS,
    ) -> None:
        self.consumer = f"{socket.gethostname()}-{os.getpid()}-{new_id()[-8:]}"
        self._client = client
        self._batch = batch
        self._applier = Applier(client, pool)
        self._parking = Parking(pool, dead_max)
        self._claim_idle_ms = claim_idle_ms
        self._claim_at = 0.0  # event-loop time
        self._unwritten = Batch()
        self._next: asyncio.Task[Batch] | None = None
        self._ready = False
        self._stopping = False

    async def run_once(self) -> int:
        """Write what has come, for some seconds, and return how many records that were.

        Raises :class:`DatabaseUnavailableError` or ``RedisError`` when a server
        is away (call again: nothing is lost), :class:`MustStopError` when too
        many records cannot be written.
        """
        try:
            if not self._ready:
                await self._begin()
            if not self._unwritten.left:
                self._unwritten = await self._take()
            if not self._unwritten.left:
                return 0
            if self._next is None and not self._stopping:
                self._next = asyncio.create_task(self._read(block_ms=None))
            left = self._unwritten.left
            await self._write(self._unwritten)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            metrics.POSTGRES_UP.set(0)
            raise DatabaseUnavailableError(
                f"PostgreSQL does not take records ({type(error).__name__}: {error}); they wait in"
                " the streams and selling goes on",
                retry_after_s=1,
            ) from error
        metrics.POSTGRES_UP.set(1)
        written = left - self._unwritten.left
        metrics.RECORDS.inc(written)
        return written

    async def stop(self) -> None:
        """Write what has been read already and leave the group. What fails is claimed by others."""
        self._stopping = True
        try:
            while self._unwritten.left or self._next is not None:
                await self.run_once()
            if self._ready:
                await self._leave()
        except (RedisError, OnsaleError) as error:
            log.warning("stopped with records unwritten; another worker takes them: %s", error)
        finally:
            if self._next is not None:
                self._next.cancel()
                await asyncio.gather(self._next, return_exceptions=True)
                self._next = None

    async def _begin(self) -> None:
        for stream in STREAMS:
            try:
                await self._client.xgroup_create(stream, GROUP, id="0", mkstream=True)
            except ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise
        await self._parking.check()
        self._ready = True

    async def _leave(self) -> None:
        # only where nothing is pending: what a consumer that is gone had pending would be lost
        for stream in STREAMS:
            pending = await self._client.xpending_range(
                stream, GROUP, min="-", max="+", count=1, consumername=self.consumer
            )
            if not pending:
                await self._client.xgroup_delconsumer(stream, GROUP, self.consumer)

    async def _take(self) -> Batch:
        """Return what comes next: what was read ahead, what was claimed, else what is new."""
        batch = Batch()
        if self._next is not None:
            task, self._next = self._next, None
            batch = await task
        if self._stopping:
            return batch
        if asyncio.get_running_loop().time() >= self._claim_at:
            await self._claim(batch)
        return batch or await self._read(block_ms=BLOCK_MS)

    async def _read(self, *, block_ms: int | None) -> Batch:
        batch = Batch()
        try:
            found: Any = await self._client.xreadgroup(
                GROUP,
                self.consumer,
                dict.fromkeys(STREAMS, ">"),
                count=self._batch * LANES,
                block=block_ms,
            )
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            self._ready = False  # somebody emptied Redis: begin anew
            return batch
        for stream, entries in found:
            batch.add(stream.decode(), entries)
        return batch

    async def _claim(self, batch: Batch) -> None:
        """Add to the batch what has stayed too long with any consumer, this one included.

        This one's own too: a reply that was lost with its connection leaves
        records that are pending here and that nobody has.
        """
        async with self._client.pipeline(transaction=False) as pipe:
            for stream in STREAMS:
                pipe.xautoclaim(
                    stream,
                    GROUP,
                    self.consumer,
                    min_idle_time=self._claim_idle_ms,
                    count=self._batch,
                )
            answers = await pipe.execute()
        before = len(batch)
        for stream, answer in zip(STREAMS, answers, strict=True):
            batch.add(stream, answer[1])
        if claimed := len(batch) - before:
            metrics.CLAIMED.inc(claimed)
            log.warning("took over %d records that nobody had acknowledged", claimed)
        else:
            self._claim_at = asyncio.get_running_loop().time() + _CLAIM_EVERY_S

    async def _write(self, batch: Batch) -> None:
        # every lane is waited for, so that none still writes when the batch is tried again
        deadline = asyncio.get_running_loop().time() + _ROUND_S
        results = await asyncio.gather(
            *(self._write_lane(records, batch.bad, deadline) for records in batch.lanes()),
            return_exceptions=True,
        )
        for result in results:
            if result is not None:
                raise result
        if batch.bad:
            await self._park(batch.bad)

    async def _write_lane(self, records: list[AnyRecord], bad: list[Bad], deadline: float) -> None:
        """Write and acknowledge records; what is left of them is to be tried again."""
        while records:
            part = records[: self._batch]
            found = await self._applier.apply(part)
            unwritten = {letter.entry for letter in found}
            await self._acknowledge(
                [record.entry for record in part if record.entry not in unwritten]
            )
            self._parking.wrote(len(part) - len(found))
            bad += found
            del records[: self._batch]
            if asyncio.get_running_loop().time() >= deadline:
                return

    async def _park(self, bad: list[Bad]) -> None:
        """Park and acknowledge what cannot be written, as much as there is room for."""
        count = await self._parking.park(bad)
        await self._acknowledge([letter.entry for letter in bad[:count]])
        del bad[:count]
        if bad:
            raise self._parking.is_full()

    async def _acknowledge(self, entries: Sequence[Entry]) -> None:
        """Take entries that are committed out of their streams."""
        ids: dict[str, list[str]] = defaultdict(list)
        for entry in entries:
            ids[entry.stream].append(entry.id)
        # Deleted first: cut in two between them, a pending entry that is gone is dropped when it
        # is claimed, while an acknowledged one that is not deleted would stay for ever.
        async with self._client.pipeline(transaction=False) as pipe:
            for stream, of_stream in ids.items():
                pipe.xdel(stream, *of_stream)
                pipe.xack(stream, GROUP, *of_stream)
            await pipe.execute()
