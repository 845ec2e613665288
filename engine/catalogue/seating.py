"""Checks and resolves what refers to seats of the plan: their kinds, and allocations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from engine.catalogue.catalogue import CatalogueAllocation, CatalogueQuota
from engine.catalogue.checks import Checks, sound_items
from engine.catalogue.document import AllocationDocument, VenueDocument
from engine.catalogue.problems import nearest, shown
from engine.catalogue.reading import sound
from engine.catalogue.seating_plan import SeatingPlan


class PlanIndex:
    """The names of a plan, and which guids each of them means."""

    def __init__(self, plan: SeatingPlan | None) -> None:
        self.planned = plan is not None
        self.categories: dict[str, list[str]] = {}
        self.sections: dict[str, list[str]] = {}
        self.rows: dict[tuple[str, str], list[str]] = {}
        self.seats: dict[str, list[str]] = {}
        if plan is None:
            return
        for category in plan.categories:
            self.categories[category.name] = []
        for zone in plan.zones:
            for row in zone.rows:
                for seat in row.seats:
                    self.seats[seat.guid] = [seat.guid]
                    self.categories[seat.category].append(seat.guid)
                    if zone.name is not None:
                        self.sections.setdefault(zone.name, []).append(seat.guid)
                        self.rows.setdefault((zone.name, row.number), []).append(seat.guid)


def resolve_kinds(venue: VenueDocument, index: PlanIndex | None, checks: Checks) -> dict[str, str]:
    """Return guid -> kind of the seats that are not standard."""
    kinds: dict[str, str] = {}
    if not sound(venue) or index is None:
        return kinds
    for path, item in sound_items(venue.seat_kinds, "venue.seat_kinds"):
        guids = _named(item.categories, index.categories, "category", f"{path}.categories", checks)
        guids += _named(item.seats, index.seats, "seat", f"{path}.seats", checks)
        for guid in guids:
            if kinds.setdefault(guid, item.kind) != item.kind:
                checks.add(path, f"seat {shown(guid)} is {kinds[guid]} already")
    return kinds


def resolve_allocations(
    allocations: Iterable[AllocationDocument],
    index: PlanIndex | None,
    quotas: Iterable[CatalogueQuota],
    checks: Checks,
) -> tuple[CatalogueAllocation, ...]:
    """Return the allocations; no seat is in two, no quota is set aside beyond its capacity."""
    listed = list(allocations)
    checks.unique("allocations", "code", listed)
    capacities = {quota.code: quota.capacity for quota in quotas}
    taken: dict[str, str] = {}
    aside: Counter[str] = Counter()
    found = []
    for path, item in sound_items(listed, "allocations"):
        guids = () if index is None else _seats(item, path, index, checks)
        twice = [guid for guid in guids if taken.setdefault(guid, path) != path]
        if twice:
            first = f"seat {shown(twice[0])} is in {taken[twice[0]]} already"
            checks.add(path, first + (f", and {len(twice) - 1} more" if twice[1:] else ""))
        _check_quantity(item, path, capacities, aside, checks)
        found.append(
            CatalogueAllocation(
                code=item.code,
                name=item.name or item.code,
                purpose=item.purpose,
                seats=guids,
                quota=item.quota,
                quantity=item.quantity,
                release_at=checks.moment(item.release_at, f"{path}.release_at"),
            )
        )
    return tuple(found)


def _seats(
    item: AllocationDocument, path: str, index: PlanIndex, checks: Checks
) -> tuple[str, ...]:
    guids = _named(item.seats, index.seats, "seat", f"{path}.seats", checks)
    guids += _named(item.sections, index.sections, "section", f"{path}.sections", checks)
    for at, row in sound_items(item.rows, f"{path}.rows"):
        if not sound(row.section, row.row):
            continue
        if row.section not in index.sections:
            known = nearest(row.section, index.sections)
            checks.add(f"{at}.section", f"{shown(row.section)} is not a section of the plan{known}")
        elif (row.section, row.row) not in index.rows:
            checks.add(f"{at}.row", f"{shown(row.row)} is not a row of {shown(row.section)}")
        else:
            guids += index.rows[row.section, row.row]
    return tuple(dict.fromkeys(guids))


def _check_quantity(
    item: AllocationDocument,
    path: str,
    capacities: Mapping[str, int],
    aside: Counter[str],
    checks: Checks,
) -> None:
    seated = bool(item.seats or item.rows or item.sections)
    counted = item.quota is not None or item.quantity is not None
    if seated == counted:
        checks.add(path, "needs either seats, rows or sections, or a quota and a quantity")
    elif not counted or not sound(item.quota, item.quantity):
        return
    elif item.quota is None or item.quantity is None:
        missing = "quota" if item.quota is None else "quantity"
        checks.add(f"{path}.{missing}", "is missing: quota and quantity belong together")
    elif item.quota not in capacities:
        known = nearest(item.quota, capacities)
        checks.add(f"{path}.quota", f"{shown(item.quota)} is not a quota{known}")
    else:
        aside[item.quota] += item.quantity
        if aside[item.quota] > capacities[item.quota]:
            message = f"sets aside more than the {capacities[item.quota]} of {shown(item.quota)}"
            checks.add(f"{path}.quantity", message)


def _named(
    names: Iterable[str], known: Mapping[str, list[str]], what: str, path: str, checks: Checks
) -> list[str]:
    """Return the guids of the names, and note the names that the plan does not have."""
    guids: list[str] = []
    for at, name in sound_items(names, path):
        if name in known:
            guids += known[name]
        else:
            # looking for a similar name among tens of thousands of guids is too slow
            hint = "" if what == "seat" else nearest(name, known)
            checks.add(at, f"{shown(name)} is not a {what} of the plan{hint}")
    return guids
