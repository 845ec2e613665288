"""Writes a batch of rows in one transaction that can be repeated without effect.

The orders come first, in the order of their key: their rows are locked from
then on, so two consumers that have versions of the same orders neither
deadlock nor see half of each other's work. What PostgreSQL answers tells which
orders it sees for the first time and which were not confirmed before. For those
no other row can exist yet, so they go in by COPY; everything else goes in by
``INSERT ... ON CONFLICT``. (Measured: 1.5 times the orders a second of inserting
all rows with ``ON CONFLICT``.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import asyncpg

from engine.persist import tables
from engine.persist.names import NamesCache, StaleNamesError
from engine.persist.projections import Row, Rows, project
from engine.persist.records import Record
from engine.persist.tables import Connected, Table

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

_ORDERS: Final = (
    tables.ORDERS.guarded_insert()
    + " RETURNING t.id, old.version IS NULL, old.confirmed_at IS NULL"
)
_GUARDED: Final = {table.name: table.guarded_insert() for table in tables.TABLES}
_ORDER: Final = 1  # the place of the order's id in every row


def columns(rows: Iterable[Row]) -> list[tuple[Any, ...]]:
    """Turn rows into one tuple a column."""
    return list(zip(*rows, strict=True))


async def write_records(
    connection: Connected, records: Sequence[Record], cache: NamesCache
) -> None:
    """Write records in one transaction.

    Raises one of :data:`BAD_DATA` when a record is to blame, else what asyncpg
    raises; then nothing is written.
    """
    occurrences = {record.order.occurrence for record in records}
    try:
        rows = project(records, await cache.of(connection, occurrences))
    except StaleNamesError as error:
        cache.forget(error.occurrence)
        rows = project(records, await cache.of(connection, occurrences))
    await write(connection, rows)


async def write(connection: Connected, rows: Rows) -> None:
    """Write a batch; ``connection`` is prepared (:func:`engine.persist.tables.prepare`).

    Raises what asyncpg raises; then nothing is written.
    """
    async with connection.transaction():
        new: set[str] = set()  # orders that were not there
        newly_confirmed: set[str] = set()
        for order, is_new, is_unconfirmed in await connection.fetch(_ORDERS, *columns(rows.orders)):
            if is_new:
                new.add(order.hex)
            if is_unconfirmed:
                newly_confirmed.add(order.hex)
        await _write(connection, tables.ORDER_LINES, rows.order_lines, new)
        await _write(connection, tables.TICKETS, rows.tickets, newly_confirmed)
        await _write(connection, tables.PAYMENTS, rows.payments, new)
        await _write(connection, tables.ORDER_EVENTS, rows.order_events, new)
        sales = [row for row in rows.ledger_entries if row[2] == "sale"]
        others = [row for row in rows.ledger_entries if row[2] != "sale"]
        await _write(connection, tables.LEDGER_ENTRIES, sales, newly_confirmed)
        await _write(connection, tables.LEDGER_ENTRIES, others, new)


async def _write(connection: Connected, table: Table, rows: list[Row], new: set[str]) -> None:
    fresh = [row for row in rows if row[_ORDER] in new]
    if fresh:
        await connection.copy_records_to_table(table.name, records=fresh, columns=table.columns)
    if len(fresh) < len(rows):
        known = [row for row in rows if row[_ORDER] not in new]
        await connection.execute(_GUARDED[table.name], *columns(known))
