"""A fresh occurrence of the demo event, with times short enough to watch."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import msgspec

from engine.catalogue.catalogue import Catalogue, CatalogueRoom
from engine.catalogue.files import read_event
from engine.catalogue.load import load
from engine.catalogue.moments import Moment
from engine.catalogue.publish import Publication, publish_occurrence
from engine.core.ids import new_id
from engine.db.session import sessions
from engine.embedded.parts import PROJECT
from engine.settings import Settings
from engine.store.client import connect

EVENT = PROJECT / "data" / "demo.yaml"


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """How long everything lasts, in ms: short enough to watch.

    ``opens_in_ms``: of the line, from its publication; ``claim_ms``, ``shop_ms``:
    to come when called, and to shop inside; ``hold_ms``, ``payment_window_ms``: a
    hold lasts, and a buyer may take to pay.
    """

    opens_in_ms: int = 10_000
    claim_ms: int = 6_000
    shop_ms: int = 15_000
    hold_ms: int = 12_000
    payment_window_ms: int = 15_000


_PRE_QUEUE_MS = 600_000  # it is open from the publication on
_RATE = 100  # people a second: enough for 3,000 to be done within a minute
_CAP = 400


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
    """Return the event with one occurrence of its own key, a waiting room, and short times."""
    now = datetime.now(UTC)
    key = f"demo-{now:%Y%m%d-%H%M%S}-{new_id()[-6:]}"
    return msgspec.structs.replace(
        catalogue,
        occurrences=(msgspec.structs.replace(catalogue.occurrences[0], key=key),),
        policies=msgspec.structs.replace(
            catalogue.policies,
            hold_ttl_ms=times.hold_ms,
            hold_ttl_ms_max=2 * times.hold_ms,
            payment_window_ms=times.payment_window_ms,
        ),
        room=CatalogueRoom(
            on=True,
            opens_at=Moment(absolute=now + timedelta(milliseconds=times.opens_in_ms)),
            pre_queue_ms=_PRE_QUEUE_MS,
            rate=_RATE,
            rate_ms=1_000,
            cap=_CAP,
            claim_ms=times.claim_ms,
            shop_ms=times.shop_ms,
        ),
    )
