"""What is allowed and may not be meant, as sentences for whoever loads or publishes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from engine.catalogue.catalogue import Catalogue, CatalogueOccurrence
from engine.catalogue.moments import Moment
from engine.core.times import local_time, moment_of
from engine.sale.inventory.snapshot import Snapshot


def wrong_offset(moment: Moment, zones: list[ZoneInfo]) -> str:
    """Return a sentence when a time's offset from UTC is that of none of the zones then, or ""."""
    given = moment.absolute
    if given is None or not given.utcoffset() or not zones:
        return ""  # UTC itself is meant
    if any(given.astimezone(zone).utcoffset() == given.utcoffset() for zone in zones):
        return ""
    return (
        f"{given.isoformat()} is {local_time(given, zones[0].key)}:"
        " its offset is not that of the place on this date"
    )


def occurrence_notices(
    catalogue: Catalogue, occurrence: CatalogueOccurrence, at: Callable[[Moment], datetime]
) -> Iterator[str]:
    """Yield what may not be meant of one date; ``at`` makes a time of a moment."""
    name = f'occurrence "{occurrence.key}"'
    zone = occurrence.zone.key
    opens, closes = at(occurrence.sale_starts_at), at(occurrence.sale_ends_at)
    if closes > at(occurrence.ends_at):
        yield f"{name}: its sale ends after the event: {local_time(closes, zone)}"
    elif closes > at(occurrence.starts_at):
        yield f"{name}: its sale ends after the event begins: {local_time(closes, zone)}"
    for kind in catalogue.ticket_types:
        what = f'{name}: ticket type "{kind.code}"'
        starts = opens if kind.sale_starts_at is None else max(at(kind.sale_starts_at), opens)
        ends = closes if kind.sale_ends_at is None else min(at(kind.sale_ends_at), closes)
        if starts >= ends:
            yield f"{what} is sold only outside of the sale, so never"
            continue
        for tier in kind.tiers:
            first = starts if tier.starts_at is None else max(at(tier.starts_at), starts)
            last = ends if tier.ends_at is None else min(at(tier.ends_at), ends)
            if first >= last:
                yield f'{what}: tier "{tier.code}" is sold only outside of its sale, so never'
    for allocation in catalogue.allocations:
        if allocation.release_at is not None and at(allocation.release_at) >= closes:
            yield (
                f'{name}: allocation "{allocation.code}" is released only after the sale, so never'
            )


def past_notices(snapshot: Snapshot, now: datetime) -> Iterator[str]:
    """Yield what is over already of an occurrence that is published."""
    zone = snapshot.timezone
    for what, end_ms in (
        ("the event is over: it ended", snapshot.ends_at),
        ("the sale is over: it ended", snapshot.sale_ends_at),
    ):
        if moment_of(end_ms) <= now:
            yield f"{what} {local_time(moment_of(end_ms), zone)}"
    if moment_of(snapshot.starts_at) <= now < moment_of(snapshot.ends_at):
        yield f"the event has begun: {local_time(moment_of(snapshot.starts_at), zone)}"
