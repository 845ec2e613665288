"""The outbox: effects elsewhere, written in the transaction that causes them."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from engine.platform.postgres.base import Base, Id, Moment


class Outbox(Base):
    """One effect to bring about at least once. ``kind`` e.g. "event.published".

    Undone rows (``done_at`` NULL) are taken in the order of ``due_at``;
    ``attempts`` and ``error`` tell of the tries so far.
    """

    __tablename__ = "outbox"

    id: Mapped[Id]
    organization_id: Mapped[uuid.UUID | None] = mapped_column(
        ForeignKey("organizations.id"), index=True
    )
    kind: Mapped[str]
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[Moment] = mapped_column(server_default=func.now())
    due_at: Mapped[Moment] = mapped_column(server_default=func.now())
    attempts: Mapped[int] = mapped_column(server_default="0")
    error: Mapped[str] = mapped_column(server_default="")
    done_at: Mapped[Moment | None]

    __table_args__ = (
        CheckConstraint("attempts >= 0", name="attempts_range"),
        CheckConstraint("length(kind) BETWEEN 1 AND 64", name="kind_length"),
        Index("ix_outbox_due_at_undone", "due_at", postgresql_where=text("done_at IS NULL")),
    )
