"""A fresh occurrence of the demo event, with times short enough to watch."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import msgspec

from engine.catalogue.catalogue import Catalogue
from engine.catalogue.files import read_event
from engine.catalogue.load import load
from engine.catalogue.publish import Publication, publish_occurrence
from engine.core.ids import new_id
from engine.db.session import sessions
from engine.embedded.parts import PROJECT
from engine.settings import Settings
from engine.store.client import connect

EVENT = PROJECT / "data" / "demo.yaml"


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """How long a hold lasts and a buyer may take to pay, in ms: short enough to watch."""

    hold_ms: int = 20_000
    payment_window_ms: int = 30_000


async def publish_another(settings: Settings, event: Path, times: Times) -> Publication:
    """Load one more occurrence of the event, and publish it.

    Everything else of the event stays as it is. Raises
    :class:`engine.core.errors.OnsaleError` when something is in the way.
    """
    catalogue = another(await asyncio.to_thread(read_event, event), times)
    async with sessions(settings.database_url) as factory:
        async with factory.begin() as session:
            loaded = await load(session, catalogue)
        client = connect(settings.redis_url)
        try:
            return await publish_occurrence(factory, client, UUID(loaded.occurrences[0].id))
        finally:
            await client.aclose()


def another(catalogue: Catalogue, times: Times) -> Catalogue:
    """Return the event with one occurrence of its own key, and short times to hold and to pay."""
    key = f"demo-{datetime.now(UTC):%Y%m%d-%H%M%S}-{new_id()[-6:]}"
    return msgspec.structs.replace(
        catalogue,
        occurrences=(msgspec.structs.replace(catalogue.occurrences[0], key=key),),
        policies=msgspec.structs.replace(
            catalogue.policies,
            hold_ttl_ms=times.hold_ms,
            hold_ttl_ms_max=2 * times.hold_ms,
            payment_window_ms=times.payment_window_ms,
        ),
    )
