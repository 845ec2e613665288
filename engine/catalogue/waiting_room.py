"""Checks the waiting room of an event file: lengths, rate, and the opening within the sale."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from engine.catalogue.catalogue import CatalogueOccurrence, CatalogueRoom
from engine.catalogue.checks import Checks
from engine.catalogue.document import WaitingRoomDocument
from engine.catalogue.moments import Moment, parse_duration, parse_rate
from engine.catalogue.problems import shown
from engine.catalogue.reading import sound

RATE_MAX: Final = 10_000  # calls a second: more than one Valkey can let in to shop
RATE_MS_MAX: Final = 600_000  # steady steps: a rate an hour would let people in once an hour
_HOUR_MS: Final = 3_600_000
_LENGTHS: Final = {"pre_queue": 24, "claim": 1, "shop": 24}  # the longest, in hours


def resolve_waiting_room(
    given: WaitingRoomDocument, occurrences: Iterable[CatalogueOccurrence], checks: Checks
) -> CatalogueRoom:
    """Return the checked waiting room; ``occurrences``: those it stands in front of."""
    if not sound(given):
        given = WaitingRoomDocument(on=False)
    lengths = {}
    for name, hours in _LENGTHS.items():
        text = getattr(given, name)
        lengths[name] = parse_duration(text) if sound(text) else 1
        if lengths[name] > hours * _HOUR_MS:
            most = f"{hours} hour{'s' * (hours > 1)}"
            checks.add(f"waiting_room.{name}", f"{shown(text)} is more than {most}")
    rate, rate_ms = _rate(given.rate, checks)
    opens_at = checks.moment(given.opens_at, "waiting_room.opens_at")
    if opens_at is not None:
        _check_opening(opens_at, occurrences, checks)
    return CatalogueRoom(
        on=given.on,
        opens_at=opens_at,
        pre_queue_ms=lengths["pre_queue"],
        rate=rate,
        rate_ms=rate_ms,
        cap=given.cap,
        claim_ms=lengths["claim"],
        shop_ms=lengths["shop"],
    )


def _rate(text: str, checks: Checks) -> tuple[int, int]:
    if not sound(text):
        return 1, 1
    rate, rate_ms = parse_rate(text)
    if rate_ms > RATE_MS_MAX:
        checks.add(
            "waiting_room.rate",
            f"{shown(text)} is counted over more than {RATE_MS_MAX // 60_000} minutes",
        )
    elif rate * 1000 > RATE_MAX * rate_ms:
        checks.add("waiting_room.rate", f"{shown(text)} is more than {RATE_MAX:,} a second")
    return rate, rate_ms


def _check_opening(
    opens_at: Moment, occurrences: Iterable[CatalogueOccurrence], checks: Checks
) -> None:
    """Whoever is called must be able to buy: the line moves only while the sale runs."""
    for occurrence in occurrences:
        moment, starts, ends = (
            when.at(checks.now, occurrence.zone)
            for when in (opens_at, occurrence.sale_starts_at, occurrence.sale_ends_at)
        )
        if starts < ends and not starts <= moment < ends:
            wrong = "before the sale of" if moment < starts else "not before the end of the sale of"
            checks.add("waiting_room.opens_at", f'is {wrong} occurrence "{occurrence.key}"')
            return
