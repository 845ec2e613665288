"""Times and lengths of time as an event file writes them.

Besides absolute times there are times relative to the day on which an
occurrence was first loaded ("now", "in 90 days at 20:00"), for demonstrations
that must never grow old. They are resolved against that one moment, so loading
the file again gives the same times.
"""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

_RELATIVE = re.compile(r"in ([0-9]{1,4}) days?(?: at ([0-2][0-9]):([0-5][0-9]))?")
_YEARS = range(2000, 2200)
_UNIT_MS = {"second": 1_000, "minute": 60_000, "hour": 3_600_000}


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """An absolute time, or ``days`` after the first loading (at ``clock``, local time)."""

    absolute: datetime | None = None
    days: int = 0
    clock: time | None = None

    def at(self, first: datetime, zone: ZoneInfo) -> datetime:
        """Return the time for an occurrence that was first loaded at ``first``.

        A local time that the clocks skip is as much later, one that they show
        twice is the first of the two.
        """
        if self.absolute is not None:
            return self.absolute
        moment = first.astimezone(zone) + timedelta(days=self.days)
        if self.clock is not None:
            moment = datetime.combine(moment.date(), self.clock, zone)
        return moment


def parse_moment(text: str) -> Moment:
    """Read a time. Raises :class:`ValueError` with a sentence."""
    if text == "now":
        return Moment()
    relative = _RELATIVE.fullmatch(text)
    try:
        if relative:
            days, hour, minute = relative.groups()
            clock = None if hour is None else time(int(hour), int(minute))
            return Moment(days=int(days), clock=clock)
        absolute = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f'{text!r} is not a time such as "2027-05-01T20:00:00+02:00", "now" or'
            ' "in 90 days at 20:00"'
        ) from None
    if absolute.tzinfo is None:
        raise ValueError(f'{text!r} has no offset from UTC: append one such as "+02:00" or "Z"')
    if absolute.year not in _YEARS:
        raise ValueError(f"{text!r} is not in this or the next century")
    return Moment(absolute=absolute)


def parse_duration(text: str) -> int:
    """Return ``"7 minutes"`` as milliseconds; the form was checked before."""
    number, unit = text.split(" ")
    return int(number) * _UNIT_MS[unit.removesuffix("s")]


def parse_rate(text: str) -> tuple[int, int]:
    """Return ``"50 per 5 seconds"`` as (50, 5000): how many, and in how many milliseconds.

    The form was checked before; "per second" is "per 1 second".
    """
    count, length = text.split(" per ")
    return int(count), parse_duration(length if " " in length else f"1 {length}")


def parse_zone(name: str) -> ZoneInfo:
    """Return the time zone. Raises :class:`ValueError` with a sentence."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f'{name!r} is not a time zone such as "Europe/Berlin"') from None
