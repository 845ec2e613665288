"""What happened in waiting rooms, as the records of the hot plane told it."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from engine.platform.postgres.base import Base, Moment


class QueueEvent(Base):
    """One step of a line: an operator's command, the draw, a call, a pass that began or ended.

    Rows are added and never changed; nobody who only joined has one. ``entry``
    is the record's id in the stream of the occurrence's shard: a time in ms and
    a count, so it orders the rows (as two numbers, not as text), and a stream
    that began anew after a loss does not repeat one. ``detail``: the members
    that have no column (:class:`engine.queue.documents.QueueRecord`).
    """

    __tablename__ = "queue_events"
    __table_args__ = (CheckConstraint("number >= 1", name="number_range"),)

    occurrence_id: Mapped[uuid.UUID] = mapped_column(
        Uuid, ForeignKey("occurrences.id"), primary_key=True
    )
    entry: Mapped[str] = mapped_column(Text, primary_key=True)
    kind: Mapped[str] = mapped_column(Text)  # engine.queue.documents.QueueRecordKind
    happened_at: Mapped[Moment]
    number: Mapped[int | None] = mapped_column(BigInteger)
    buyer: Mapped[str | None] = mapped_column(Text)
    detail: Mapped[dict[str, Any]] = mapped_column(JSONB)
