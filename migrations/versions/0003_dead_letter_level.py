"""How full the place is where records are parked that could not be written.

Only a new table: nothing that is in use is locked.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003_dead_letter_level"
down_revision = "0002_orders_and_ledger"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table; the write-behind makes its one row."""
    op.create_table(
        "dead_letter_level",
        sa.Column("id", sa.SmallInteger(), primary_key=True, autoincrement=False),
        sa.Column("level", sa.Double(), nullable=False),
        sa.Column("measured_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("id = 1", name="one"),
        sa.CheckConstraint("level >= 0", name="level"),
    )


def downgrade() -> None:
    """Undo this revision."""
    op.drop_table("dead_letter_level")
