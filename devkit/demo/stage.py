"""A fresh occurrence of the demo event, with times short enough to watch."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import msgspec

from devkit.parts import PROJECT
from engine.catalogue.catalogue import Catalogue, CatalogueRoom
from engine.catalogue.files import read_event
from engine.catalogue.load import load
from engine.catalogue.moments import Moment
from engine.catalogue.publish import Publication, publish_occurrence
from engine.core.ids import new_id
from engine.core.settings import Settings
from engine.platform.postgres.session import sessions
from engine.platform.valkey.connections import connect

EVENT = PROJECT / "data" / "demo.yaml"


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How fast everything goes, in ms: fast enough to watch.

    ``opens_in_ms``: of the line, from its publication. ``rate``: called a second,
    ``cap``: inside at the same time, both at most. ``claim_ms``, ``shop_ms``: to
    come when called, and to shop inside. ``hold_ms``, ``payment_window_ms``: a
    hold lasts, and a buyer may take to pay.
    """

    opens_in_ms: int = 10_000
    rate: int = 100
    cap: int = 400
    claim_ms: int = 6_000
    shop_ms: int = 15_000
    hold_ms: int = 12_000
    payment_window_ms: int = 15_000


_PRE_QUEUE_MS = 600_000  # it is open from the publication on


async def publish_another(settings: Settings, event: Path, pace: Pace) -> Publication:
    """Load one more occurrence of the event, and publish it.

    Everything else of the event stays as it is. Raises
    :class:`engine.core.errors.OnsaleError` when something is in the way.
    """
    catalogue = another(await asyncio.to_thread(read_event, event), pace)
    async with sessions(settings.database_url) as factory:
        async with factory.begin() as session:
            loaded = await load(session, catalogue)
        client = connect(settings.redis_url)
        try:
            return await publish_occurrence(factory, client, UUID(loaded.occurrences[0].id))
        finally:
            await client.aclose()


def another(catalogue: Catalogue, pace: Pace) -> Catalogue:
    """Return the event with one occurrence of its own key, a waiting room, and short pace."""
    now = datetime.now(UTC)
    key = f"demo-{now:%Y%m%d-%H%M%S}-{new_id()[-6:]}"
    return msgspec.structs.replace(
        catalogue,
        occurrences=(msgspec.structs.replace(catalogue.occurrences[0], key=key),),
        policies=msgspec.structs.replace(
            catalogue.policies,
            hold_ttl_ms=pace.hold_ms,
            hold_ttl_ms_max=2 * pace.hold_ms,
            payment_window_ms=pace.payment_window_ms,
        ),
        room=CatalogueRoom(
            on=True,
            opens_at=Moment(absolute=now + timedelta(milliseconds=pace.opens_in_ms)),
            pre_queue_ms=_PRE_QUEUE_MS,
            rate=pace.rate,
            rate_ms=1_000,
            cap=pace.cap,
            claim_ms=pace.claim_ms,
            shop_ms=pace.shop_ms,
        ),
    )
