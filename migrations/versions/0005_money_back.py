"""How far refunds are, disputes, and money of intents that orders did not wait for.

New columns have a constant default while they are made, so no table is
rewritten; the constraints are on columns that have just got it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005_money_back"
down_revision = "0004_publications_begun"
branch_labels = None
depends_on = None

_AMOUNTS = ("refunding", "withdrawn", "others_captured", "others_due")
_TEXTS = ("refund_state", "refund_failure", "dispute")
_CHECKS = {
    "more_amounts": (
        "refunding >= 0 AND withdrawn >= 0 AND others_captured >= 0 AND others_due >= 0"
    ),
    "refund_state": "refund_state IN ('', 'owed', 'pending', 'done', 'failed')",
    "dispute": "dispute IN ('', 'inquiry', 'open', 'won', 'lost')",
}
_ACCOUNTS = (
    "'provider_clearing', 'organizer_payable', 'platform_fees', 'payment_fees', 'tax_payable',"
    " 'refunds'"
)
_MORE_ACCOUNTS = f"{_ACCOUNTS}, 'disputes', 'other_means'"


def upgrade() -> None:
    """Add the columns, and fill in how far refunds are."""
    for name in _AMOUNTS:
        _add("payments", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0"))
    for name in _TEXTS:
        _add("payments", sa.Column(name, sa.Text(), nullable=False, server_default=""))
    _add("payments", sa.Column("refund_tries", sa.Integer(), nullable=False, server_default="0"))
    _add("order_events", sa.Column("refund_state", sa.Text(), nullable=False, server_default=""))
    op.execute(
        "UPDATE payments SET refund_state = CASE WHEN refund_due > 0 THEN 'owed' ELSE 'done' END"
        " WHERE refund_due > 0 OR refunded > 0"
    )
    for name, condition in _CHECKS.items():
        op.create_check_constraint(op.f(f"ck_payments_{name}"), "payments", condition)
    _accounts(_MORE_ACCOUNTS)


def downgrade() -> None:
    """Undo this revision. Fails when the ledger has what the accounts before it cannot say."""
    _accounts(_ACCOUNTS)
    for name in _CHECKS:
        op.drop_constraint(op.f(f"ck_payments_{name}"), "payments")
    op.drop_column("order_events", "refund_state")
    for name in ("refund_tries", *_TEXTS, *_AMOUNTS):
        op.drop_column("payments", name)


def _add(table: str, column: sa.Column[object]) -> None:
    op.add_column(table, column)
    op.alter_column(table, column.name, server_default=None)


def _accounts(listed: str) -> None:
    op.drop_constraint(op.f("ck_ledger_entries_account"), "ledger_entries")
    op.create_check_constraint(
        op.f("ck_ledger_entries_account"), "ledger_entries", f"account IN ({listed})"
    )
