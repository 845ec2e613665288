"""Times of one date, resolved, in their order.

A file may mix absolute times with times relative to the day on which a date was
first loaded, and dates may have time zones of their own: only when a date is
loaded is it certain which of two times comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from engine.catalogue.catalogue import Catalogue, CatalogueOccurrence
from engine.catalogue.moments import Moment
from engine.catalogue.problems import Problems
from engine.core.times import local_time

_Window = tuple[str, str, Moment | None, str, Moment | None]  # path, two names and moments


def check_windows(
    catalogue: Catalogue, occurrence: CatalogueOccurrence, at: Callable[[Moment], datetime]
) -> None:
    """Raise :class:`InvalidDocumentError` naming every time that is not after its beginning."""
    problems = Problems()
    zone = occurrence.zone.key
    for path, start, first, end, last in _windows(catalogue, occurrence):
        if first is not None and last is not None and at(last) <= at(first):
            begin, over = local_time(at(first), zone), local_time(at(last), zone)
            problems.add(f"{path}.{end}", f"is {over}, not after {start}: {begin}")
    opens_at = catalogue.room.opens_at
    if opens_at is not None:
        starts, ends = at(occurrence.sale_starts_at), at(occurrence.sale_ends_at)
        if not starts <= at(opens_at) < ends:
            problems.add(
                "waiting_room.opens_at",
                f'is {local_time(at(opens_at), zone)}, not within the sale of "{occurrence.key}"',
            )
    problems.check(f'occurrence "{occurrence.key}"')


def _windows(catalogue: Catalogue, occurrence: CatalogueOccurrence) -> Iterator[_Window]:
    keys = [item.key for item in catalogue.occurrences]
    path = f"occurrences[{keys.index(occurrence.key)}]"
    yield path, "starts_at", occurrence.starts_at, "ends_at", occurrence.ends_at
    sale = ("sale_starts_at", "sale_ends_at")
    yield path, sale[0], occurrence.sale_starts_at, sale[1], occurrence.sale_ends_at
    for index, kind in enumerate(catalogue.ticket_types):
        path = f"ticket_types[{index}]"
        yield path, sale[0], kind.sale_starts_at, sale[1], kind.sale_ends_at
        for number, tier in enumerate(kind.tiers):
            at = f"{path}.tiers[{number}]"
            yield at, "starts_at", tier.starts_at, "ends_at", tier.ends_at
