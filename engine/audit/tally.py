"""Adds up what holds and orders have of an occurrence's stock, to compare with its counters."""

from __future__ import annotations

from collections import Counter as Count
from collections.abc import Iterable
from typing import Final

from engine.audit.findings import Check
from engine.sale.documents import Line
from engine.sale.inventory import layout
from engine.sale.inventory.inspection import Counter
from engine.sale.inventory.snapshot import Snapshot

_FREE: Final = ord(".")
_HELD: Final = ord("h")
_SOLD: Final = ord("s")
_BLOCKED: Final = ord("x")


class Tally:
    """What is held and sold, by counter and by seat. ``twice``: the seats that two have."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.held: Count[str] = Count()
        self.sold: Count[str] = Count()
        self.twice: list[tuple[str, str, str]] = []  # seat, owner, other owner
        self._snapshot = snapshot
        self._owners: dict[tuple[int, int], tuple[int, str]] = {}  # seat -> its byte, who
        self._guids = [
            {at: seat.guid for at, _, seat in layout.positions(section)}
            for section in snapshot.sections
        ]
        self._counters = [
            [self._names(index, tier) for tier in range(len(kind.tiers))]
            for index, kind in enumerate(snapshot.ticket_types)
        ]

    def _names(self, ticket_type: int, tier: int) -> list[str]:
        kind = self._snapshot.ticket_types[ticket_type]
        names = [f"quota:{self._snapshot.quotas[i].code}" for i in kind.quotas]
        if kind.category is not None:
            names.append(f"category:{self._snapshot.categories[kind.category].name}")
        if kind.tiers[tier].capacity is not None:
            names.append(f"tier:{kind.code}/{kind.tiers[tier].code}")
        return names

    def add(self, lines: Iterable[Line], owner: str, *, sold: bool) -> None:
        """Count the lines of a hold or an order."""
        counts = self.sold if sold else self.held
        for line in lines:
            for name in self._counters[line.type][line.tier]:
                counts[name] += line.quantity
            for seat in zip(line.seats[::2], line.seats[1::2], strict=True):
                other = self._owners.setdefault(seat, (_SOLD if sold else _HELD, owner))
                if other[1] != owner:
                    self.twice.append((self._guid(*seat), owner, other[1]))

    def _guid(self, section: int, position: int) -> str:
        return self._guids[section].get(position, f"{section}/{position}")

    def check_seats(self, sections: list[bytes]) -> Check:
        """Compare with the seats' bytes; nobody has a seat that another has."""
        check = Check(name="seats")
        for seat, owner, other in self.twice:
            check.fail(seat, f"{owner} and {other} both have it")
        for index, guids in enumerate(self._guids):
            check.examined += len(guids)
            for position, guid in guids.items():
                is_byte = sections[index][position]
                byte, owner = self._owners.get((index, position), (_FREE, "nobody"))
                if is_byte != byte and not (byte == _FREE and is_byte == _BLOCKED):
                    check.fail(guid, f"it is {chr(is_byte)!r}, but {owner} makes it {chr(byte)!r}")
        return check

    def check_counters(self, counters: list[Counter]) -> Check:
        """Compare with the counters' held and sold."""
        check = Check(name="holds and orders", examined=len(counters))
        for counter in counters:
            for what, is_count, count in (
                ("held", counter.held, self.held[counter.key]),
                ("sold", counter.sold, self.sold[counter.key]),
            ):
                if is_count != count:
                    check.fail(
                        f"{counter.key} {what}",
                        f"the counter says {is_count}, holds and orders have {count}",
                    )
        return check


def check_conservation(snapshot: Snapshot, counters: list[Counter], sections: list[bytes]) -> Check:
    """Check available + held + sold + blocked = capacity, and seats against categories."""
    check = Check(name="stock", examined=len(counters))
    for counter in counters:
        parts = (counter.free, counter.held, counter.sold, counter.blocked)
        if min(parts) < 0 or sum(parts) != counter.capacity:
            check.fail(
                counter.key,
                "{} available + {} held + {} sold + {} blocked".format(*parts)
                + f" is not {counter.capacity}",
            )
    seats: Count[tuple[int, int]] = Count()
    for section, string in zip(snapshot.sections, sections, strict=True):
        for position, _, seat in layout.positions(section):
            seats[seat.category, string[position]] += 1
    by_key = {counter.key: counter for counter in counters}
    for index, category in enumerate(snapshot.categories):
        counter = by_key[f"category:{category.name}"]
        expected = (counter.free, counter.held, counter.sold, counter.blocked)
        found = tuple(seats[index, byte] for byte in (_FREE, _HELD, _SOLD, _BLOCKED))
        if found != expected:
            check.fail(
                counter.key,
                f"its seats are {found} available, held, sold and blocked; it says {expected}",
            )
    return check
