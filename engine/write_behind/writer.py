"""Writes a batch of rows in one transaction that can be repeated without effect.

The orders that are there already are locked first, in the order of their key,
so two consumers that have versions of the same orders neither deadlock nor see
half of each other's work. An order's row has the newest version that was
written, and was written together with all that this version and those before
it made. So it tells which rows cannot be there yet: all rows of an order that
is new; the history of versions above its own; and, while it is pending, its
tickets, payment and postings, which no pending order has. Those go in by COPY,
everything else by ``INSERT ... ON CONFLICT``, at three times the cost. When
another consumer commits the same new order in between, the COPY fails as a
whole, and the next try finds the order there.

Records of different orders have an order too: whoever has a seat got it from
whoever had it before. Consumers that share a stream may write them the other
way round, or wait for each other in a circle. Then the batch is written once
more, alone: everybody else's transactions end first and begin after it, and
who has which seat is settled by the stream (:mod:`engine.write_behind.seats`,
docs/adr/0013). So nothing is waited for that has not come, and no order is
refused because another's record is late.

Rows of waiting rooms come last and in the order of their key: two consumers
with the same records then wait for each other in one direction only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import asyncpg

from engine.write_behind import metrics, seats, tables
from engine.write_behind.names import NamesCache, StaleNamesError
from engine.write_behind.projections import Row, Rows, project, queue_rows
from engine.write_behind.records import AnyRecord, QueueEvent, Record
from engine.write_behind.tables import Connected, Table

# What says that a record is bad, not PostgreSQL: classes 22, 23 and 54 of its error codes, and
# what decoding and asyncpg's encoding raise. Everything else, also what is not known here, means
# trying again: better a consumer that stands still and says so than a thousand good records set
# aside because of a full disk.
BAD_DATA: Final = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    ValueError,
    TypeError,
    OverflowError,
)

# What says that others write what belongs together with this batch, or that they may.
_CONFLICTS: Final = (
    asyncpg.UniqueViolationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
)
_LOCK: Final = 0x6F6E73616C65  # "onsale": no other advisory lock of one large key is taken
_LOCK_MS: Final = 200  # several times what a transaction needs; PostgreSQL looks for circles later

# Batches meet tables that grow quickly: a plan that reads all of a table, right when the sale
# began, would be wrong a second later. So: by index, whatever the statistics say.
_BESIDE_OTHERS: Final = (
    f"SELECT pg_advisory_xact_lock_shared({_LOCK}); SET LOCAL lock_timeout = {_LOCK_MS}"
)
_ALONE: Final = f"SELECT pg_advisory_xact_lock({_LOCK})"
_BEGIN: Final = "; ".join(
    (
        *(f"SET LOCAL enable_{way} = off" for way in ("seqscan", "hashjoin", "mergejoin")),
        tables.ORDERS.stage(),
    )
)
_KNOWN: Final = """
    SELECT k.place, o.version, o.state = 'pending'
    FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS k (occurrence_id, id, place)
    JOIN orders o ON o.occurrence_id = k.occurrence_id AND o.id = k.id
    ORDER BY o.occurrence_id, o.id FOR NO KEY UPDATE OF o"""
_UPDATE_ORDERS: Final = tables.ORDERS.staged_update()
_GUARDED: Final = {
    table.name: table.guarded_insert()
    for table in tables.TABLES
    if table not in (tables.ORDERS, tables.ORDER_LINES)
}
_QUEUE_EVENTS: Final = tables.QUEUE_EVENTS.guarded_insert()
_ORDER: Final = 1  # the place of the order's id in every row
_EVENT_VERSION: Final = 2  # the place of the version in a row of the history
_VERSION: Final = 6  # and in a row of an order


def columns(rows: Iterable[Row]) -> list[tuple[Any, ...]]:
    """Turn rows into one tuple a column."""
    return list(zip(*rows, strict=True))


async def write_records(
    connection: Connected, records: Sequence[AnyRecord], cache: NamesCache
) -> None:
    """Write records in one transaction.

    Raises one of :data:`BAD_DATA` when a record is to blame, else what asyncpg
    raises; then nothing is written.
    """
    orders = [record for record in records if isinstance(record, Record)]
    occurrences = {record.order.occurrence for record in orders}
    try:
        rows = project(orders, await cache.of(connection, occurrences))
    except StaleNamesError as error:
        cache.forget(error.occurrence)
        rows = project(orders, await cache.of(connection, occurrences))
    rows.queue_events = queue_rows(event for event in records if isinstance(event, QueueEvent))
    await write(connection, rows)


async def write(connection: Connected, rows: Rows) -> None:
    """Write a batch; ``connection`` is prepared (:func:`engine.write_behind.tables.prepare`).

    Raises what asyncpg raises; then nothing is written.
    """
    try:
        await _write_all(connection, rows, alone=False)
    except _CONFLICTS:
        metrics.ALONE.inc()
        await _write_all(connection, rows, alone=True)


async def _write_all(connection: Connected, rows: Rows, *, alone: bool) -> None:
    async with connection.transaction():
        if rows.orders:
            await connection.execute(f"{_ALONE if alone else _BESIDE_OTHERS}; {_BEGIN}")
            await _write_with_orders(connection, rows, alone=alone)
        if rows.queue_events:
            await connection.execute(_QUEUE_EVENTS, *columns(rows.queue_events))


async def _write_with_orders(connection: Connected, rows: Rows, *, alone: bool) -> None:
    known = await _lock(connection, rows.orders)
    versions = {order: version for order, (version, _) in known.items()}
    settled = {order for order, (_, pending) in known.items() if not pending}
    await _write_orders(connection, rows.orders, versions)
    new_lines = [row for row in rows.order_lines if row[_ORDER] not in known]
    await _copy(connection, tables.ORDER_LINES.name, tables.ORDER_LINES, new_lines)
    await _write(
        connection,
        tables.ORDER_EVENTS,
        rows.order_events,
        lambda row: row[_EVENT_VERSION] > versions.get(row[_ORDER], 0),
    )
    tickets = rows.tickets
    if alone:
        tickets = await seats.settle(connection, tickets, rows.entries, versions)
    for table, of_table in (
        (tables.TICKETS, tickets),
        (tables.PAYMENTS, rows.payments),
        (tables.LEDGER_ENTRIES, rows.ledger_entries),
    ):
        await _write(connection, table, of_table, lambda row: row[_ORDER] not in settled)


async def _lock(connection: Connected, orders: Sequence[Row]) -> dict[str, tuple[int, bool]]:
    """Lock the orders that are there; return their version and whether they are pending."""
    found = await connection.fetch(_KNOWN, *columns(row[:2] for row in orders))
    return {
        orders[place - 1][_ORDER]: (version, is_pending) for place, version, is_pending in found
    }


async def _write_orders(
    connection: Connected, rows: Sequence[Row], versions: Mapping[str, int]
) -> None:
    table = tables.ORDERS
    new = [row for row in rows if row[_ORDER] not in versions]
    await _copy(connection, table.name, table, new)
    newer = [row for row in rows if 0 < versions.get(row[_ORDER], 0) < row[_VERSION]]
    if newer:
        await _copy(connection, table.staged, table, newer)
        await connection.execute(_UPDATE_ORDERS)


async def _write(
    connection: Connected, table: Table, rows: Sequence[Row], is_new: Callable[[Row], bool]
) -> None:
    new = [row for row in rows if is_new(row)]
    if len(new) < len(rows):
        # first, so that a seat is given back before it is sold again
        others = [row for row in rows if not is_new(row)]
        await connection.execute(_GUARDED[table.name], *columns(others))
    await _copy(connection, table.name, table, new)


async def _copy(connection: Connected, into: str, table: Table, rows: Sequence[Row]) -> None:
    if rows:
        await connection.copy_records_to_table(into, records=rows, columns=table.columns)
