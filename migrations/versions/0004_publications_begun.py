"""Publications that were begun, and when allocations are released.

A new table, and an index on a small one.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004_publications_begun"
down_revision = "0003_dead_letter_level"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table and the index."""
    op.create_table(
        "publication_intents",
        sa.Column("occurrence_id", sa.Uuid(), sa.ForeignKey("occurrences.id"), primary_key=True),
        sa.Column("document", JSONB(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
    )
    op.create_index(
        "ix_allocations_release_at_active",
        "allocations",
        ["release_at"],
        postgresql_where=sa.text("status = 'active'"),
    )


def downgrade() -> None:
    """Take them away; publications that were begun are forgotten."""
    op.drop_index("ix_allocations_release_at_active", "allocations")
    op.drop_table("publication_intents")
