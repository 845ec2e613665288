"""The tables that rows of :mod:`engine.write_behind.projections` go to, and how.

Rows that cannot be there yet go in by COPY. For the others there is one
statement a table that takes one array a column and inserts them all with
``unnest``; what is there already stays, unless the row that comes is of a newer
version. Newer versions of orders, which every order has, are cheaper: they are
copied to a temporary table and brought in from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from asyncpg import Connection
from asyncpg.pool import PoolConnectionProxy

Connected: TypeAlias = "Connection[Any] | PoolConnectionProxy[Any]"

_POSTGRES_EPOCH_MS: Final = 946_684_800_000  # 2000-01-01


async def prepare(connection: Connected) -> None:
    """Let the connection speak of times as ms since the epoch, as records do.

    Half as much work as a ``datetime`` for each of a batch's thousands of times.
    """
    await connection.set_type_codec(
        "timestamptz",
        schema="pg_catalog",
        format="tuple",
        encoder=lambda ms: ((ms - _POSTGRES_EPOCH_MS) * 1000,),
        decoder=lambda value: value[0] // 1000 + _POSTGRES_EPOCH_MS,
    )


@dataclass(frozen=True, slots=True)
class Table:
    """A table that the write-behind fills.

    ``key``: the columns that name a row. ``types``: of each column, in the
    order of the rows. ``versioned``: what a newer version changes; nothing
    when rows never change.
    """

    name: str
    key: tuple[str, ...]
    types: dict[str, str]
    versioned: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self.types)

    def insert(self, *, into: str = "") -> str:
        """Return the statement without its guard, for another table of the same columns."""
        names = ", ".join(f'"{name}"' for name in self.types)
        arrays = ", ".join(f"${i}::{kind}[]" for i, kind in enumerate(self.types.values(), 1))
        return (
            f"INSERT INTO {into or self.name} AS t ({names}) "  # noqa: S608 - this module's names
            f"SELECT {names} FROM unnest({arrays}) AS r({names})"
        )

    def guarded_insert(self) -> str:
        """Return the statement that repeats without effect."""
        target = f"{self.insert()} ON CONFLICT ({', '.join(self.key)}) DO "
        if not self.versioned:
            return target + "NOTHING"
        changes = ", ".join(f'"{name}" = excluded."{name}"' for name in self.versioned)
        return f"{target}UPDATE SET {changes} WHERE t.version < excluded.version"

    @property
    def staged(self) -> str:
        """The name of the temporary table for rows that change what is there."""
        return f"staged_{self.name}"

    def stage(self) -> str:
        """Return the statement that makes the temporary table unless this session has it."""
        listed = ", ".join(f'"{name}" {kind}' for name, kind in self.types.items())
        return (
            f"CREATE TEMPORARY TABLE IF NOT EXISTS {self.staged} ({listed}) ON COMMIT DELETE ROWS"
        )

    def staged_update(self) -> str:
        """Return the statement that brings newer versions in from the temporary table."""
        changes = ", ".join(f'"{name}" = r."{name}"' for name in self.versioned)
        same = " AND ".join(f't."{name}" = r."{name}"' for name in self.key)
        return (
            f"UPDATE {self.name} AS t SET {changes} FROM {self.staged} AS r"  # noqa: S608 - this module's names
            f" WHERE {same} AND t.version < r.version"
        )


_OF_ORDER: Final = {"occurrence_id": "uuid", "order_id": "uuid"}

ORDERS: Final = Table(
    "orders",
    ("occurrence_id", "id"),
    {
        "occurrence_id": "uuid",
        "id": "uuid",
        "organization_id": "uuid",
        "number": "text",
        "shard": "int2",
        "sequence": "int8",
        "version": "int4",
        "state": "text",
        "buyer": "text",
        "hold_id": "uuid",
        "email": "text",
        "name": "text",
        "currency": "text",
        "subtotal": "int8",
        "discount": "int8",
        "platform_fee": "int8",
        "payment_fee": "int8",
        "tax": "int8",
        "total": "int8",
        "pay_by_ms": "int8",
        "placed_at": "timestamptz",
        "confirmed_at": "timestamptz",
        "cancelled_at": "timestamptz",
        "changed_at": "timestamptz",
        "cancel_reason": "text",
        "document": "bytea",
    },
    versioned=(
        "version",
        "state",
        "email",
        "name",
        "subtotal",
        "discount",
        "platform_fee",
        "payment_fee",
        "tax",
        "total",
        "pay_by_ms",
        "confirmed_at",
        "cancelled_at",
        "changed_at",
        "cancel_reason",
        "document",
    ),
)
ORDER_LINES: Final = Table(
    "order_lines",
    ("occurrence_id", "order_id", "position"),
    {
        **_OF_ORDER,
        "position": "int2",
        "ticket_type": "text",
        "tier": "text",
        "quantity": "int4",
        "price": "int8",
    },
)
TICKETS: Final = Table(
    "tickets",
    ("occurrence_id", "id"),
    {
        **_OF_ORDER,
        "id": "uuid",
        "version": "int4",
        "number": "text",
        "status": "text",
        "ticket_type": "text",
        "price": "int8",
        "seat_guid": "text",
        "section": "text",
        "row": "text",
        "seat": "text",
        "attendee": "text",
        "issued_at": "timestamptz",
    },
    versioned=("version", "status", "attendee"),
)
PAYMENTS: Final = Table(
    "payments",
    ("occurrence_id", "order_id"),
    {
        **_OF_ORDER,
        "version": "int4",
        "provider": "text",
        "intent": "text",
        "captured": "int8",
        "refund_due": "int8",
        "refunding": "int8",
        "refunded": "int8",
        "refund_state": "text",
        "refund_reason": "text",
        "refund_id": "text",
        "refund_tries": "int4",
        "refund_failure": "text",
        "dispute": "text",
        "withdrawn": "int8",
        "others_captured": "int8",
        "others_due": "int8",
    },
    versioned=(
        "version",
        "provider",
        "intent",
        "captured",
        "refund_due",
        "refunding",
        "refunded",
        "refund_state",
        "refund_reason",
        "refund_id",
        "refund_tries",
        "refund_failure",
        "dispute",
        "withdrawn",
        "others_captured",
        "others_due",
    ),
)
ORDER_EVENTS: Final = Table(
    "order_events",
    ("occurrence_id", "order_id", "version"),
    {
        **_OF_ORDER,
        "version": "int4",
        "kind": "text",
        "state": "text",
        "reason": "text",
        "captured": "int8",
        "refund": "int8",
        "refund_state": "text",
        "entry": "text",
        "happened_at": "timestamptz",
    },
)
LEDGER_ENTRIES: Final = Table(
    "ledger_entries",
    ("occurrence_id", "order_id", "posting", "account"),
    {
        **_OF_ORDER,
        "posting": "text",
        "account": "text",
        "organization_id": "uuid",
        "amount": "int8",
        "currency": "text",
        "posted_at": "timestamptz",
    },
)
QUEUE_EVENTS: Final = Table(
    "queue_events",
    ("occurrence_id", "entry"),
    {
        "occurrence_id": "uuid",
        "entry": "text",
        "kind": "text",
        "happened_at": "timestamptz",
        "number": "int8",
        "buyer": "text",
        "detail": "jsonb",
    },
)

# What an order is written to.
TABLES: Final = (ORDERS, ORDER_LINES, TICKETS, PAYMENTS, ORDER_EVENTS, LEDGER_ENTRIES)
