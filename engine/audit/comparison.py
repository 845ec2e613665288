"""Compares PostgreSQL with what it should have, row by row, in PostgreSQL itself.

What it should have is brought into temporary tables a page at a time, by the
same projections that the write-behind uses; so the memory that an audit takes
does not grow with the number of orders.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from engine.audit import statements
from engine.audit.findings import LISTED_MAX, Check
from engine.payments.provider import Intent
from engine.sale.documents import Order
from engine.write_behind import tables
from engine.write_behind.names import Names
from engine.write_behind.projections import Rows, add_order, all_postings
from engine.write_behind.tables import Connected, Table
from engine.write_behind.writer import columns

# What only PostgreSQL knows, or what does not tell about the order's present state.
_NOT_COMPARED: Final = {
    "orders": {"document", "organization_id"},
    "tickets": {"version"},
    # the intent is noted in Redis without a record of its own: it comes with the next one
    "payments": {"version", "intent"},
    # movements are added up, whatever intents' currencies they were in
    "ledger_entries": {"posted_at", "organization_id", "currency"},
}
_COMPARED: Final = (
    tables.ORDERS,
    tables.ORDER_LINES,
    tables.TICKETS,
    tables.PAYMENTS,
    tables.LEDGER_ENTRIES,
)
# Postings that can happen again are named with a version: they are compared by their sum.
_LEDGER: Final = """
    SELECT occurrence_id, order_id, split_part(posting, ' ', 1) AS posting, account,
           sum(amount)::int8 AS amount
    FROM ledger_entries WHERE occurrence_id = $1
    GROUP BY 1, 2, 3, 4 HAVING sum(amount) <> 0"""
# What orders know of the money of each intent.
_MONEY: Final = {
    "order_id": "uuid",
    "state": "text",
    "intent": "text",
    "captured": "int8",
    "given_back": "int8",
    "elsewhere": "int8",
    "withdrawn": "int8",
    "dispute": "text",
    "refund_state": "text",
    "own": "bool",
}
_INTENTS: Final = {
    "occurrence_id": "text",
    "order_id": "text",
    "id": "text",
    "status": "text",
    "captured": "int8",
    "refunded": "int8",
    "disputed": "bool",
}


class Comparison:
    """One connection with its temporary tables; ``begin`` first."""

    def __init__(self, connection: Connected) -> None:
        self._connection = connection

    async def begin(self) -> None:
        """Make the temporary tables, empty."""
        for table in _COMPARED:
            await self._temporary(f"audit_{table.name}", f"(LIKE {table.name})")
        await self._temporary("audit_in_flight", "(order_id uuid)")
        for name, types in (("audit_intents", _INTENTS), ("audit_money", _MONEY)):
            listed = ", ".join(f"{column} {kind}" for column, kind in types.items())
            await self._temporary(name, f"({listed})")

    async def _temporary(self, name: str, definition: str) -> None:
        await self._connection.execute(f"DROP TABLE IF EXISTS pg_temp.{name}")
        await self._connection.execute(f"CREATE TEMPORARY TABLE {name} {definition}")

    async def begin_occurrence(self) -> None:
        """Empty what belongs to one occurrence; the intents stay."""
        names = ", ".join(f"audit_{table.name}" for table in _COMPARED)
        await self._connection.execute(f"TRUNCATE {names}, audit_in_flight, audit_money")

    async def add_orders(self, orders: Sequence[Order], names: Names) -> None:
        """Bring a page of orders, as Redis has them. Raises ``ValueError`` for a senseless one."""
        rows = Rows()
        for order in orders:
            add_order(rows, order, names, b"")
            rows.ledger_entries += all_postings(order, names.organization)
        await self._connection.copy_records_to_table(
            "audit_money",
            records=[row for order in orders for row in _money(order)],
            columns=tuple(_MONEY),
        )
        for table in _COMPARED:
            of_table = getattr(rows, table.name)
            if of_table:
                statement = table.insert(into=f"audit_{table.name}")
                await self._connection.execute(statement, *columns(of_table))

    async def add_in_flight(self, orders: Iterable[str]) -> None:
        """Leave these orders out: their newest records are still on their way."""
        await self._connection.execute(
            "INSERT INTO audit_in_flight SELECT unnest($1::uuid[])", list(orders)
        )

    async def add_intents(self, intents: Sequence[Intent]) -> None:
        """Bring a page of the provider's intents."""
        await self._connection.copy_records_to_table(
            "audit_intents",
            records=[
                (i.occurrence, i.order, i.id, i.status, i.captured, i.refunded, i.disputed)
                for i in intents
            ],
            columns=tuple(_INTENTS),
        )

    async def compare(self, occurrence: str) -> list[Check]:
        """Compare everything that was brought. The tables' statistics are refreshed first."""
        for table in _COMPARED:
            await self._connection.execute(f"ANALYZE audit_{table.name}")
        await self._connection.execute("ANALYZE audit_intents")
        await self._connection.execute("ANALYZE audit_money")
        checks = [await self._compare(table, occurrence) for table in _COMPARED]
        for name, examined, statement in statements.CHECKS:
            checks.append(await self._run(name, examined, statement, occurrence))
        return checks

    async def check_owed(self, occurrence: str, *, before_ms: int) -> Check:
        """Find money that has been owed back since before ``before_ms`` (wall clock)."""
        return await self._run("refunds owed", "payments", statements.OWED, occurrence, before_ms)

    async def totals(self, occurrence: str) -> dict[str, int]:
        """Return ``orders``, valid ``tickets``, ``queue_events``, ``captured`` and ``refunded``."""
        return dict(await self._connection.fetchrow(statements.TOTALS, occurrence))

    async def _compare(self, table: Table, occurrence: str) -> Check:
        order = "id" if table is tables.ORDERS else "order_id"
        on = " AND ".join(f'r."{name}" = p."{name}"' for name in table.key)
        subject = "concat_ws('/', {})".format(
            ", ".join(
                f"replace(coalesce(r.\"{name}\", p.\"{name}\")::text, '-', '')"
                for name in table.key
                if name != "occurrence_id"
            )
        )
        compared = [
            name
            for name in table.columns
            if name not in table.key and name not in _NOT_COMPARED.get(table.name, set())
        ]
        differences = ", ".join(
            f'CASE WHEN r."{name}" IS DISTINCT FROM p."{name}" THEN'
            f' format(\'{name} is %s in Redis and %s in PostgreSQL\', r."{name}", p."{name}") END'
            for name in compared
        )
        other = " OR ".join(f'r."{name}" IS DISTINCT FROM p."{name}"' for name in compared)
        found = f"SELECT * FROM {table.name} WHERE occurrence_id = $1"  # noqa: S608 - own names
        if table is tables.LEDGER_ENTRIES:
            found = _LEDGER
        statement = f"""
            SELECT {subject} AS subject,
                   CASE WHEN p.{order} IS NULL THEN 'PostgreSQL does not have it'
                        WHEN r.{order} IS NULL THEN 'Redis does not have it'
                        ELSE concat_ws('; ', {differences}) END AS detail,
                   count(*) OVER () AS failed
            FROM audit_{table.name} r
            FULL JOIN ({found}) p ON {on}
            WHERE (p.{order} IS NULL OR r.{order} IS NULL OR {other})
              AND NOT EXISTS (SELECT FROM audit_in_flight f
                              WHERE f.order_id = coalesce(r.{order}, p.{order}))"""  # noqa: S608 - own names
        return await self._run(table.name.replace("_", " "), table.name, statement, occurrence)

    async def _run(
        self, name: str, examined: str, statement: str, occurrence: str, *arguments: Any
    ) -> Check:
        """Run a statement that gives ``subject``, ``detail`` and how many ``failed``.

        ``examined``: of which table the occurrence's rows are looked at.
        """
        check = Check(name=name)
        check.examined = await self._connection.fetchval(
            f"SELECT count(*) FROM {examined} WHERE occurrence_id = $1",  # noqa: S608 - own names
            occurrence,
        )
        rows = await self._connection.fetch(
            f"{statement} ORDER BY 1 LIMIT {LISTED_MAX}", occurrence, *arguments
        )
        for row in rows:
            check.fail(row["subject"], row["detail"])
        if rows:
            check.failed = rows[0]["failed"]
        return check


def _money(order: Order) -> Iterable[tuple[Any, ...]]:
    payment = order.payment
    for money in payment.everything if payment else []:
        if money.captured:
            yield (
                order.id,
                order.state,
                money.intent,
                money.captured,
                money.refunded + money.refunding,
                money.elsewhere,
                money.withdrawn,
                money.dispute,
                money.refund_state,
                money is payment,
            )
