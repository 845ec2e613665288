"""All models, imported once, so that ``Base.metadata`` is whole (for migrations)."""

from __future__ import annotations

from engine.catalogue.models import events, ticketing, venues
from engine.ledger import models as ledger
from engine.organizations import models as organizations
from engine.platform.postgres import outbox
from engine.platform.postgres.base import Base
from engine.write_behind.models import dead_letters, orders
from engine.write_behind.models import queue_events as waiting

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
