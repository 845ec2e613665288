"""Which edits may reach a sale that is running, and which are refused by name.

What a buyer was promised, and what holds, orders and records refer to by
index, never changes. Prices, windows, limits and texts may: holds have their
prices locked in. Stock may grow, and be set aside or released.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from engine.core.times import local_time, moment_of
from engine.sale.inventory.snapshot import Quota, Room, Section, Snapshot, TicketType, Tier


class RepublicationPlan(msgspec.Struct, frozen=True, kw_only=True):
    """``changes``: what would change, as sentences; ``refusals``: what must not, and why."""

    changes: tuple[str, ...]
    refusals: tuple[str, ...]


_FROZEN = {
    "occurrence": "it would be another occurrence",
    "organization": "the money belongs to the organization that sold",
    "event": "it would be another event",
    "currency": "orders exist in the old one",
    "tax_rate_bp": "buyers with a hold were shown totals with the old one",
    "fees": "buyers with a hold were shown totals with the old ones",
    "categories": "seats and ticket types refer to them",
    "focus_x": "it belongs to the seat map",
    "focus_y": "it belongs to the seat map",
    "width": "it belongs to the seat map",
    "height": "it belongs to the seat map",
}
_APART = {"quotas", "ticket_types", "sections", "room"}


def plan_republication(old: Snapshot, new: Snapshot) -> RepublicationPlan:
    """Compare what is on sale with what is wanted.

    Everything may be applied when there are no refusals; nothing needs to be
    when there are no changes either. Availability at this moment (is a seat to
    be blocked still free?) is for the store to check.
    """
    changes: list[str] = []
    refusals: list[str] = []
    for name in Snapshot.__struct_fields__:
        was, now = getattr(old, name), getattr(new, name)
        if name in _APART or was == now:
            continue
        if name in _FROZEN:
            refusals.append(f"{_words(name)} cannot change in mid-sale: {_FROZEN[name]}")
        else:
            before, after = _shown(name, was, new.timezone), _shown(name, now, new.timezone)
            changes.append(f"{_words(name)}: {before} -> {after}")
    for change, refused in (
        *_quotas(old.quotas, new.quotas),
        *_ticket_types(old.ticket_types, new.ticket_types, new.timezone),
        *_seats(old.sections, new.sections),
        *_room(old.room, new.room, new.timezone),
    ):
        (refusals if refused else changes).append(change)
    return RepublicationPlan(changes=tuple(changes), refusals=tuple(refusals))


def _words(name: str) -> str:
    return name.removesuffix("_bp").removesuffix("_ms").replace("_", " ")


def _edit(name: str, was: Any, now: Any, zone: str) -> str:
    """Return an edit as people read it: times as they are at the place, lengths with their unit."""
    return f"{_words(name)} {_shown(name, was, zone)} -> {_shown(name, now, zone)}"


def _shown(name: str, value: Any, zone: str) -> str:
    if value is None:
        return "none"
    if name.endswith("_at"):
        return local_time(moment_of(value), zone)
    if name.endswith("_ms"):
        minutes, seconds = divmod(value / 1000, 60)
        return f"{minutes:.0f} min {seconds:g} s" if minutes else f"{seconds:g} s"
    return str(value)


def _codes(items: Sequence[Quota | TicketType | Tier]) -> list[str]:
    return [item.code for item in items]


def _order(what: str, old: list[str], new: list[str]) -> Iterator[tuple[str, bool]]:
    """Refuse what is removed or moved, tell what is appended."""
    for code in old:
        if code not in new:
            yield f'{what} "{code}" cannot be removed in mid-sale: end its sale instead', True
    kept = [code for code in new if code in old]
    if kept != [code for code in old if code in new] or new[: len(kept)] != kept:
        yield f"{what}s cannot change their order in mid-sale: add new ones at the end", True
    for code in new:
        if code not in old:
            yield f'{what} "{code}" added', False


def _quotas(old: tuple[Quota, ...], new: tuple[Quota, ...]) -> Iterator[tuple[str, bool]]:
    yield from _order("quota", _codes(old), _codes(new))
    wanted = {quota.code: quota for quota in new}
    for was in old:
        now = wanted.get(was.code, was)
        what = f'quota "{was.code}"'
        if now.capacity < was.capacity:
            change = f"{was.capacity} -> {now.capacity}"
            yield f"{what}: capacity {change} cannot be lowered: set stock aside instead", True
        elif now.capacity > was.capacity:
            yield f"{what}: capacity {was.capacity} -> {now.capacity}", False
        if now.blocked != was.blocked:
            yield f"{what}: set aside {was.blocked} -> {now.blocked}", False
        if now.name != was.name:
            yield f"{what}: name {was.name} -> {now.name}", False


def _ticket_types(
    old: tuple[TicketType, ...], new: tuple[TicketType, ...], zone: str
) -> Iterator[tuple[str, bool]]:
    yield from _order("ticket type", _codes(old), _codes(new))
    wanted = {kind.code: kind for kind in new}
    for was in old:
        now = wanted.get(was.code, was)
        what = f'ticket type "{was.code}"'
        for name in ("kind", "category", "quotas"):
            if getattr(now, name) != getattr(was, name):
                yield f"{what}: {name} cannot change in mid-sale: add another ticket type", True
        for name in (
            *("name", "description", "min_per_order", "max_per_order", "max_per_buyer"),
            *("sale_starts_at", "sale_ends_at"),
        ):
            before, after = getattr(was, name), getattr(now, name)
            if before != after:
                yield f"{what}: {_edit(name, before, after, zone)}", False
        yield from _tiers(what, was.tiers, now.tiers, zone)


def _room(old: Room, new: Room, zone: str) -> Iterator[tuple[str, bool]]:
    for name in Room.__struct_fields__:
        was, now = getattr(old, name), getattr(new, name)
        if was != now:
            yield f"waiting room: {_edit(name, was, now, zone)}", False


def _tiers(
    kind: str, old: tuple[Tier, ...], new: tuple[Tier, ...], zone: str
) -> Iterator[tuple[str, bool]]:
    yield from _order(f"{kind}: tier", _codes(old), _codes(new))
    wanted = {tier.code: tier for tier in new}
    for was in old:
        now = wanted.get(was.code, was)
        what = f'{kind}: tier "{was.code}"'
        if (was.capacity is None) != (now.capacity is None):
            yield f"{what}: having a quantity or not cannot change: add another tier", True
        elif was.capacity is not None and now.capacity is not None:
            change = f"{was.capacity} -> {now.capacity}"
            if now.capacity < was.capacity:
                yield f"{what}: quantity {change} cannot be lowered: end the tier instead", True
            elif now.capacity > was.capacity:
                yield f"{what}: quantity {change}", False
        for name in ("price", "name", "starts_at", "ends_at"):
            before, after = getattr(was, name), getattr(now, name)
            if before != after:
                yield f"{what}: {_edit(name, before, after, zone)}", False


def _seats(old: tuple[Section, ...], new: tuple[Section, ...]) -> Iterator[tuple[str, bool]]:
    if _without_blocks(old) != _without_blocks(new):
        yield "the seat map cannot change in mid-sale: it was frozen by the publication", True
        return
    blocked: list[str] = []
    unblocked: list[str] = []
    for was, now in zip(_each_seat(old), _each_seat(new), strict=True):
        if now[1] and not was[1]:
            blocked.append(was[0])
        elif was[1] and not now[1]:
            unblocked.append(was[0])
    for guids, what in ((blocked, "set aside"), (unblocked, "released")):
        if guids:
            listed = ", ".join(guids[:5]) + (" ..." if guids[5:] else "")
            yield f"{len(guids):,} seats {what}: {listed}", False


def _without_blocks(sections: tuple[Section, ...]) -> list[Any]:
    return [
        (
            section.name,
            [
                (
                    row.name,
                    [(s.guid, s.number, s.x, s.y, s.category, s.kind) for s in row.seats],
                )
                for row in section.rows
            ],
        )
        for section in sections
    ]


def _each_seat(sections: tuple[Section, ...]) -> Iterator[tuple[str, bool]]:
    for section in sections:
        for row in section.rows:
            for seat in row.seats:
                yield seat.guid, seat.blocked
