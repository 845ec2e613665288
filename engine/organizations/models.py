"""Organizations: the tenants. What they own is reached only through them."""

from __future__ import annotations

from sqlalchemy import Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from engine.platform.postgres.base import Base, Id, Moment, slug_form


class Organization(Base):
    """An organizer of events."""

    __tablename__ = "organizations"

    id: Mapped[Id]
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    email: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[Moment] = mapped_column(server_default=func.now())
    updated_at: Mapped[Moment] = mapped_column(server_default=func.now(), onupdate=func.now())

    __table_args__ = (
        slug_form(),
        Index("ix_organizations_name_lower", text("lower(name)")),
    )
