"""Writes a batch of rows in one transaction that can be repeated without effect.

The orders that are there already are locked first, in the order of their key,
so two consumers that have versions of the same orders neither deadlock nor see
half of each other's work. What is there tells which orders are new and which
were not confirmed before. For those no other row can exist yet, so they go in
by COPY; everything else goes in by ``INSERT ... ON CONFLICT``. (Measured: COPY
takes a third of the time of ``INSERT ... ON CONFLICT`` for the same rows.) When
another consumer commits the same new order in between, the COPY fails as a
whole, and the next try finds the order there.
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

_KNOWN: Final = """
    SELECT o.id, o.confirmed_at IS NOT NULL
    FROM unnest($1::uuid[], $2::uuid[]) AS k (occurrence_id, id)
    JOIN orders o ON o.occurrence_id = k.occurrence_id AND o.id = k.id
    ORDER BY o.occurrence_id, o.id FOR UPDATE OF o"""
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
        occurrences, orders = columns(row[:2] for row in rows.orders)
        known = await connection.fetch(_KNOWN, occurrences, orders)
        confirmed = {order.hex for order, is_confirmed in known if is_confirmed}
        new = set(orders) - {order.hex for order, _ in known}
        unconfirmed = set(orders) - confirmed
        await _write(connection, tables.ORDERS, rows.orders, new)
        await _write(connection, tables.ORDER_LINES, rows.order_lines, new)
        await _write(connection, tables.TICKETS, rows.tickets, unconfirmed)
        await _write(connection, tables.PAYMENTS, rows.payments, new)
        await _write(connection, tables.ORDER_EVENTS, rows.order_events, new)
        sales = [row for row in rows.ledger_entries if row[2] == "sale"]
        others = [row for row in rows.ledger_entries if row[2] != "sale"]
        await _write(connection, tables.LEDGER_ENTRIES, sales, unconfirmed)
        await _write(connection, tables.LEDGER_ENTRIES, others, new)


async def _write(connection: Connected, table: Table, rows: list[Row], new: set[str]) -> None:
    fresh = [row for row in rows if row[_ORDER] in new]
    if fresh:
        await connection.copy_records_to_table(table.name, records=fresh, columns=table.columns)
    if len(fresh) < len(rows):
        known = [row for row in rows if row[_ORDER] not in new]
        await connection.execute(_GUARDED[table.name], *columns(known))
