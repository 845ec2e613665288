"""Insert or update by natural key, counting what really changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from engine.core.ids import new_id
from engine.platform.postgres.base import Base

M = TypeVar("M", bound=Base)


class Upserts:
    """Counts the rows that were added, updated and removed in a session."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session
        self.added = 0
        self.updated = 0
        self.removed = 0

    def put(self, model: type[M], found: M | None, values: Mapping[str, Any]) -> M:
        """Give ``found`` the values, touching only what differs; or add a new row."""
        if found is None:
            row = model(**{"id": UUID(new_id()), **values})
            self.session.add(row)
            self.added += 1
            return row
        different = {name: value for name, value in values.items() if getattr(found, name) != value}
        for name, value in different.items():
            setattr(found, name, value)
        self.updated += bool(different)
        return found

    async def remove(self, row: Base) -> None:
        """Delete a row."""
        await self.session.delete(row)
        self.removed += 1
