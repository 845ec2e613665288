"""The declarative base of all models, and the conventions they share.

Ids are UUIDv7 made by the application (:func:`engine.core.ids.new_id`); times
are ``timestamptz``; amounts are ``bigint`` minor units beside a currency.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, ClassVar

from sqlalchemy import BigInteger, CheckConstraint, DateTime, MetaData, Text, Uuid, text
from sqlalchemy.orm import DeclarativeBase, mapped_column

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

Id = Annotated[uuid.UUID, mapped_column(Uuid, primary_key=True, server_default=text("uuidv7()"))]
Moment = Annotated[datetime, mapped_column(DateTime(timezone=True))]
Amount = Annotated[int, mapped_column(BigInteger)]


class Base(DeclarativeBase):
    """The base of every model."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar[dict[Any, Any]] = {str: Text}


def one_of(column: str, values: Iterable[str], name: str | None = None) -> CheckConstraint:
    """Return the constraint that ``column`` is one of ``values``, named after the column."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=name or column)


def slug_form(column: str = "slug") -> CheckConstraint:
    """Return the constraint that ``column`` has the form of a slug: ``a-b-2``, 64 at most."""
    return CheckConstraint(
        f"{column} ~ '^[a-z0-9]+(-[a-z0-9]+)*$' AND length({column}) <= 64", name=f"{column}_form"
    )
