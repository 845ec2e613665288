"""Records that the write-behind could not write, parked for a person to look at."""

from __future__ import annotations

from sqlalchemy import (
    CheckConstraint,
    Double,
    Index,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from engine.platform.postgres.base import Base, Id, Moment


class DeadLetter(Base):
    """One parked record, exactly as the stream had it, with the error that it met."""

    __tablename__ = "dead_letters"
    __table_args__ = (
        UniqueConstraint("stream", "entry"),  # parked again: the same row
        Index("ix_dead_letters_waiting", "parked_at", postgresql_where=text("replayed_at IS NULL")),
    )

    id: Mapped[Id]
    stream: Mapped[str] = mapped_column(Text)
    entry: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text)
    record: Mapped[bytes] = mapped_column(LargeBinary)
    error: Mapped[str] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(server_default=text("1"))
    parked_at: Mapped[Moment] = mapped_column(server_default=func.now())
    replayed_at: Mapped[Moment | None]


class DeadLetterLevel(Base):
    """How many records were parked lately, less what drains (see ``write_behind/parking.py``)."""

    __tablename__ = "dead_letter_level"
    __table_args__ = (
        CheckConstraint("id = 1", name="one"),  # its one row is locked while letters are parked
        CheckConstraint("level >= 0", name="level"),
    )

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    level: Mapped[float] = mapped_column(Double)
    measured_at: Mapped[Moment]
