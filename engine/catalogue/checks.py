"""What the checks of an event file share: amounts, times, uniqueness."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import TypeVar
from zoneinfo import ZoneInfo

from engine.catalogue.document import EventDocument
from engine.catalogue.moments import Moment, parse_moment, parse_zone
from engine.catalogue.notices import wrong_offset
from engine.catalogue.problems import Problems, nearest, shown
from engine.catalogue.reading import sound
from engine.core.currencies import EXPONENTS, minor_units
from engine.core.emails import email_address
from engine.core.money import BASIS_POINTS

_PERCENT_EXPONENT = 2  # a hundredth of a percent is a basis point
T = TypeVar("T")


class Checks:
    """The file's currency and time zone, and where its mistakes are noted.

    Every method takes a value and its path, notes what is wrong with it, and
    returns something harmless then; broken values are passed over in silence.
    """

    def __init__(self, document: EventDocument, problems: Problems) -> None:
        self.problems = problems
        self.now = datetime.now(UTC)
        self.notices: list[str] = []
        self._zones: list[ZoneInfo] = []  # of the venue and of all dates
        event, venue = document.event, document.venue
        self.currency = event.currency if sound(event) else ""
        self.zone = self.time_zone(venue.timezone, "venue.timezone") if sound(venue) else None
        self._zones = self._all_zones(document)
        if self.currency and sound(self.currency) and self.currency not in EXPONENTS:
            known = nearest(self.currency.upper(), EXPONENTS)
            self.add(
                "event.currency", f"{shown(self.currency)} is not a currency (ISO 4217){known}"
            )

    def add(self, path: str, message: str) -> None:
        """Note one mistake."""
        self.problems.add(path, message)

    def amount(self, text: str | None, path: str) -> int:
        """Return an amount in minor units of the file's currency."""
        if text is None or not sound(text, self.currency) or self.currency not in EXPONENTS:
            return 0
        try:
            return minor_units(text, EXPONENTS[self.currency])
        except ValueError as error:
            self.add(path, f"{error} (currency {self.currency})")
            return 0

    def percent(self, text: str, path: str) -> int:
        """Return a percentage in basis points."""
        if not sound(text):
            return 0
        try:
            rate = minor_units(text, _PERCENT_EXPONENT)
        except ValueError as error:
            self.add(path, str(error))
            return 0
        if rate > BASIS_POINTS:
            self.add(path, f"{shown(text)} is more than 100 percent")
        return min(rate, BASIS_POINTS)

    def email(self, text: str, path: str) -> None:
        """Check an e-mail address; an empty one is none."""
        if not text or not sound(text):
            return
        try:
            email_address(text)
        except ValueError as error:
            self.add(path, str(error))

    def time_zone(self, name: str | None, path: str) -> ZoneInfo | None:
        """Return a time zone by its name."""
        if name is None or not sound(name):
            return None
        try:
            return parse_zone(name)
        except ValueError as error:
            self.add(path, str(error))
            return None

    def _all_zones(self, document: EventDocument) -> list[ZoneInfo]:
        zones = [] if self.zone is None else [self.zone]
        for _, item in sound_items(document.occurrences, "occurrences"):
            with contextlib.suppress(ValueError):  # named where the date is checked
                if item.timezone is not None and sound(item.timezone):
                    zones.append(parse_zone(item.timezone))
        return zones

    def moment(self, text: str | None, path: str, zone: ZoneInfo | None = None) -> Moment | None:
        """Return a time; ``zone``: of the place that it is for, where that is one."""
        if text is None or not sound(text):
            return None
        try:
            moment = parse_moment(text)
        except ValueError as error:
            self.add(path, str(error))
            return None
        wrong = wrong_offset(moment, self._zones if zone is None else [zone])
        if wrong:
            self.notices.append(f"{path}: {wrong}")
        return moment

    def window(
        self, holder: object, start: str, end: str, path: str, zone: ZoneInfo | None = None
    ) -> tuple[Moment | None, Moment | None]:
        """Return two times of ``holder`` by their names; the second must be after the first."""
        first = self.moment(getattr(holder, start), f"{path}.{start}", zone)
        last = self.moment(getattr(holder, end), f"{path}.{end}", zone)
        zone = zone or self.zone
        if first and last and zone and last.at(self.now, zone) <= first.at(self.now, zone):
            self.add(f"{path}.{end}", f"is not after {start}")
        return first, last

    def unique(self, path: str, name: str, items: Iterable[object]) -> None:
        """Note every item whose member ``name`` an earlier one has too."""
        seen: dict[str, str] = {}
        for at, item in sound_items(items, path):
            value = getattr(item, name)
            if sound(value) and seen.setdefault(value, at) != at:
                self.add(f"{at}.{name}", f"{shown(value)} is that of {seen[value]} too")


def sound_items(items: Iterable[T], path: str) -> Iterator[tuple[str, T]]:
    """Yield ``(path, item)`` of the items that could be read."""
    return ((f"{path}[{index}]", item) for index, item in enumerate(items) if sound(item))
