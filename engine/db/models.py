"""All models, imported once, so that ``Base.metadata`` is whole (for migrations)."""

from __future__ import annotations

from engine.db import (
    dead_letters,
    events,
    ledger,
    orders,
    organizations,
    outbox,
    ticketing,
    venues,
    waiting,
)
from engine.db.base import Base

__all__ = [
    "Base",
    "dead_letters",
    "events",
    "ledger",
    "orders",
    "organizations",
    "outbox",
    "ticketing",
    "venues",
    "waiting",
]
