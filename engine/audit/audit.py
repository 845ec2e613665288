"""Proves that Redis, PostgreSQL and the payment provider agree about an occurrence.

Redis is read a page at a time while it may go on selling. What moves in
between shows as a difference that is gone at the second look, so only what is
found at two looks counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import msgspec
from redis.asyncio import Redis

from engine.audit.comparison import Comparison
from engine.audit.findings import Check, Report
from engine.audit.tally import Tally, check_conservation
from engine.payments.provider import Intent, PaymentProvider
from engine.platform.valkey import keys
from engine.sale.documents import Order
from engine.sale.errors import OccurrenceUnknownError
from engine.sale.inventory import inspection
from engine.write_behind import dead_letters
from engine.write_behind.backlog import read_backlog
from engine.write_behind.names import Names
from engine.write_behind.tables import Connected

LOOKS_MAX: Final = 3
OVERDUE_MS: Final = 300_000  # the worker looks every 30 s; a provider may be away for a while
_LOOK_AGAIN_S: Final = 0.5
_POLL_S: Final = 0.1
_PAGE: Final = 500
_EARLIER_S: Final = 3_600  # clocks of the provider and of this machine may differ

Progress = Callable[[str], None]
_decoder: Final = msgspec.msgpack.Decoder(Order)


async def wait_for_backlog(
    client: Redis, *, seconds: float, progress: Callable[[int], None]
) -> int:
    """Wait until every record is written. Returns how many still are not after ``seconds``."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        records = (await read_backlog(client)).records
        progress(records)
        if not records or asyncio.get_running_loop().time() >= deadline:
            return records
        await asyncio.sleep(_POLL_S)


class Audit:
    """One run over any number of occurrences. ``progress`` is told what is being looked at."""

    def __init__(
        self,
        client: Redis,
        connection: Connected,
        provider: PaymentProvider,
        progress: Progress = lambda _: None,
    ) -> None:
        self._client = client
        self._connection = connection
        self._provider = provider
        self._comparison = Comparison(connection)
        self._progress = progress

    async def run(self, occurrences: list[str]) -> list[Report]:
        """Return a report for each occurrence.

        Raises ``RedisError``, what asyncpg raises, ``PaymentUnavailableError``
        and ``PaymentRefusedError`` when one of the three cannot be read.
        """
        shards = await inspection.published(self._client)
        reports = []
        await self._look_at_money(occurrences)
        for occurrence in occurrences:
            if occurrence not in shards:
                reports.append(await self._missing(occurrence))
                continue
            try:
                with inspection.readable(occurrence):
                    reports.append(await self._report(occurrence, shards[occurrence], occurrences))
            except OccurrenceUnknownError as error:  # the others are looked at all the same
                check = Check(name="readable", examined=1)
                check.fail(occurrence, str(error))
                reports.append(Report(occurrence=occurrence, checks=[check]))
        return reports

    async def _report(self, occurrence: str, shard: int, occurrences: list[str]) -> Report:
        report = await self._look(occurrence, shard)
        for _ in range(LOOKS_MAX - 1):
            if report.ok:
                break
            await asyncio.sleep(_LOOK_AGAIN_S)
            await self._look_at_money(occurrences)
            report = report.confirmed_by(await self._look(occurrence, shard))
        return report

    async def unpublished(self) -> list[str]:
        """Return the occurrences that have orders in PostgreSQL and are not in Redis."""
        shards = await inspection.published(self._client)
        rows = await self._connection.fetch(
            "SELECT id FROM occurrences c WHERE EXISTS"
            " (SELECT FROM orders o WHERE o.occurrence_id = c.id)"
        )
        return sorted({row["id"].hex for row in rows} - shards.keys())

    async def _missing(self, occurrence: str) -> Report:
        check = Check(name="published", examined=1)
        check.fail(
            occurrence,
            "it is not in Redis: restore it with `onsale rebuild`, if it ever was published",
        )
        return Report(occurrence=occurrence, checks=[check])

    async def _look_at_money(self, occurrences: list[str]) -> None:
        self._progress("the payment provider")
        await self._comparison.begin()
        since = await self._connection.fetchval(
            "SELECT min(created_at) FROM seat_map_snapshots WHERE occurrence_id = ANY($1::uuid[])",
            occurrences,
        )
        if since is None:
            return
        page: list[Intent] = []
        async for intent in self._provider.intents(created_after_s=since // 1000 - _EARLIER_S):
            page.append(intent)
            if len(page) >= _PAGE:
                await self._comparison.add_intents(page)
                page = []
        await self._comparison.add_intents(page)

    async def _look(self, occurrence: str, shard: int) -> Report:
        self._progress(f"the stock of {occurrence}")
        client = self._client
        snapshot = await inspection.read_snapshot(client, occurrence)
        await self._comparison.begin_occurrence()
        before = await inspection.read_counters(client, shard, occurrence)
        sections = await inspection.read_seats(client, shard, occurrence)
        tally, deadlines = Tally(snapshot), Check(name="deadlines")
        clock = await inspection.read_clock(client, shard, occurrence)
        seconds, micros = await client.time()
        wall_ms = seconds * 1000 + micros // 1000
        now_ms = (clock.paused_since or wall_ms) - clock.paused_ms
        async for hold in inspection.iter_holds(client, shard, occurrence):
            tally.add(hold.lines, f"hold {hold.id}", sold=False)
            deadlines.examined += 1
            if hold.expires < now_ms - OVERDUE_MS:
                deadlines.fail(hold.id, "this hold ran out long ago: is the worker running?")
        self._progress(f"the orders of {occurrence}")
        names = Names(snapshot)
        page: list[Order] = []
        async for order in inspection.iter_orders(client, shard, occurrence):
            _tally_order(order, tally, deadlines, now_ms)
            page.append(order)
            if len(page) >= _PAGE:
                await self._comparison.add_orders(page, names)
                page = []
        await self._comparison.add_orders(page, names)
        report = Report(
            occurrence=occurrence,
            event=snapshot.event_name,
            currency=snapshot.currency,
            in_flight=await self._look_at_stream(shard),
        )
        report.checks = [
            check_conservation(snapshot, before, sections),
            tally.check_seats(sections),
            tally.check_counters(before),
        ]
        if before != await inspection.read_counters(client, shard, occurrence):
            for check in report.checks[1:]:
                check.failed, check.findings = 0, []
                check.skipped = "the sale moved while it was read: pause it to compare this too"
        self._progress(f"PostgreSQL and {occurrence}")
        report.checks += [deadlines, *await self._comparison.compare(occurrence)]
        report.checks.append(
            await self._comparison.check_owed(occurrence, before_ms=wall_ms - OVERDUE_MS)
        )
        report.checks.append(await self._look_at_dead_letters(shard))
        for name, value in (await self._comparison.totals(occurrence)).items():
            setattr(report, name, value)
        return report

    async def _look_at_stream(self, shard: int) -> int:
        """Leave out the orders that are in the stream; return how many records it has."""
        records = 0
        async for page in _pages(self._client, keys.stream(shard)):
            records += len(page)
            orders = set()
            for _, fields in page:
                try:
                    orders.add(_decoder.decode(fields[b"o"]).id)
                except (KeyError, ValueError):
                    continue  # a waiting room's, or a poisoned one that will be parked
            await self._comparison.add_in_flight(orders)
        return records

    async def _look_at_dead_letters(self, shard: int) -> Check:
        check = Check(name="dead letters")
        async for letter in dead_letters.waiting(self._connection):
            if letter.entry.stream == keys.stream(shard):
                check.fail(letter.id, letter.error)
        return check


def _tally_order(order: Order, tally: Tally, deadlines: Check, now_ms: int) -> None:
    if order.state == "confirmed":
        tally.add(order.lines, f"order {order.id}", sold=True)
    elif order.state in {"pending", "cancelling"}:
        tally.add(order.lines, f"order {order.id}", sold=False)
        deadlines.examined += 1
        if order.pay_by < now_ms - OVERDUE_MS:
            deadlines.fail(order.id, f"it is {order.state} long after its time to pay")


async def _pages(
    client: Redis, stream: str
) -> AsyncIterator[list[tuple[bytes, dict[bytes, bytes]]]]:
    start = "-"
    while True:
        page: Any = await client.xrange(stream, min=start, count=_PAGE)
        if not page:
            return
        yield page
        start = f"({page[-1][0].decode()}"
