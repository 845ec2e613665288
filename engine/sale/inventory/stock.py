"""What can be had now: of a ticket type, at which of its tiers, at a moment. Pure functions.

Everybody who tells of stock asks here: availability, lists, the line's chance, its admission. Holds
are taken by lua/includes/take.lua; a test compares its answers with these.

``free``: counter name -> what is free of it, and ``map:CATEGORY`` -> how many of the category's
free seats only who chooses them on the map gets. ``now_ms``: wall-clock time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from engine.sale.inventory.snapshot import Snapshot, TicketType, Tier

TicketState = Literal[
    "not_yet",  # no price was on sale yet; the first one will be
    "available",
    "paused",  # it would be available, and will be when the sale goes on
    "on_map_only",  # only wheelchair and companion seats are left: chosen on the map
    "gap",  # nothing can be had between two prices, or until the next one; it opens at a known time
    "sold_out",  # not enough is left for the smallest order; what is held may come back
    "unavailable",  # its limits allow no order at all
    "ended",  # no price is on sale any more
]
_OVER = frozenset({"sold_out", "unavailable", "ended"})
_COUNTLESS = 1 << 40  # of a pool of which nothing is known


class TierLeft(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A tier that is on sale, its index, and how many can be had at its price."""

    index: int
    tier: Tier
    left: int


class TypeStock(msgspec.Struct, frozen=True, kw_only=True):
    """What can be had of a ticket type.

    ``free``: the largest quantity that holds can get together, leaving the choice of seats to the
    engine; 0 where that is below the smallest order. ``on_map_only``: so many more for those who
    choose their seats on the map. ``tiers``: those on sale, in their order. ``tier``: that of the
    smallest order, None when there can be none. ``opens_at``: when it can be had next, if it
    cannot now and a price is still to come.
    """

    kind: TicketType
    state: TicketState
    free: int
    on_map_only: int
    tiers: tuple[TierLeft, ...]
    tier: Tier | None
    opens_at: int | None


def prices(
    kind: TicketType, free: Mapping[str, int], now_ms: int, quantity: int
) -> list[tuple[int, int]] | None:
    """Return the tiers that so many tickets are had at: (index, how many) each.

    One tier for all of them, the first open one that has so many; where none has, the open ones
    in their order, each as far as it goes. None: they do not have so many together. What the
    type's pools have is not looked at.
    """
    tiers = _open(kind, free, now_ms)
    for index, left in tiers:
        if left >= quantity:
            return [(index, quantity)]
    parts: list[tuple[int, int]] = []
    for index, left in tiers:
        if (some := min(left, quantity)) > 0:
            parts.append((index, some))
            quantity -= some
    return None if quantity > 0 else parts


def current_tier(kind: TicketType, free: Mapping[str, int], now_ms: int) -> Tier | None:
    """Return the tier of the smallest order, by windows and tiers alone; None: there is none."""
    found = prices(kind, free, now_ms, kind.min_per_order)
    return None if found is None else kind.tiers[found[0][0]]


def of_type(
    snapshot: Snapshot,
    kind: TicketType,
    free: Mapping[str, int],
    now_ms: int,
    *,
    paused: bool = False,
) -> TypeStock:
    """Return what can be had of a type."""
    open_now = _on_sale(snapshot, kind, now_ms)
    anyhow, by_quantity = _left(snapshot, kind, free, now_ms) if open_now else (0, 0)
    least = kind.min_per_order
    anyhow = anyhow if anyhow >= least else 0
    by_quantity = by_quantity if by_quantity >= least else 0
    opens_at = None if anyhow else _opens_at(snapshot, kind, free, now_ms)
    state = _state(snapshot, kind, now_ms, anyhow, by_quantity, opens_at)
    if state == "unavailable":
        anyhow, by_quantity, opens_at = 0, 0, None
    return TypeStock(
        kind=kind,
        state="paused" if paused and anyhow else state,
        free=by_quantity,
        on_map_only=anyhow - by_quantity,
        tiers=tuple(
            TierLeft(index=index, tier=kind.tiers[index], left=min(left, anyhow))
            for index, left in (_open(kind, free, now_ms) if anyhow else ())
            if left
        ),
        tier=current_tier(kind, free, now_ms) if anyhow else None,
        opens_at=opens_at,
    )


def of_all(
    snapshot: Snapshot, free: Mapping[str, int], now_ms: int, *, paused: bool = False
) -> list[TypeStock]:
    """Return what can be had of every type, in their order."""
    return [of_type(snapshot, kind, free, now_ms, paused=paused) for kind in snapshot.ticket_types]


def total(
    snapshot: Snapshot, found: Sequence[TypeStock], free: Mapping[str, int], *, by_map: bool = False
) -> int:
    """Return how many tickets of all types together can be had at least.

    Types share pools: each is given what the ones before it leave of its pools, those with the
    fewest pools first. That is the most where pools contain each other, as quotas of a category
    do, and can always be had. ``by_map``: with the seats that are chosen on the map only.
    """
    left = {name: _in_pool(name, free, by_map=by_map) for name in _all_pools(snapshot)}
    together = 0
    for one in sorted(found, key=lambda one: len(pools(snapshot, one.kind))):
        most = one.free + (one.on_map_only if by_map else 0)
        names = pools(snapshot, one.kind)
        taken = min([most, *(left[name] for name in names)])
        for name in names:
            left[name] -= taken
        together += taken
    return together


def soonest(found: Iterable[TypeStock], now_ms: int) -> int:
    """Return the moment at which something can be had next: now, unless it is known to be later."""
    later = []
    for one in found:
        if one.free or one.on_map_only:
            return now_ms
        if one.opens_at is not None:
            later.append(one.opens_at)
    return min(later, default=now_ms)


def is_sold_out(found: Sequence[TypeStock]) -> bool:
    """Tell whether nothing can be had, now or at a later price, of what was not merely ended."""
    return all(one.state in _OVER for one in found) and any(one.state != "ended" for one in found)


def price_from(found: Iterable[TypeStock]) -> int | None:
    """Return the lowest price at which a hold is to be had; None: there is none."""
    return min((one.tier.price for one in found if one.tier is not None), default=None)


def next_change(snapshot: Snapshot, now_ms: int) -> int | None:
    """Return the next moment at which the clock alone changes what can be had; None: never."""
    moments: list[int | None] = [snapshot.sale_starts_at, snapshot.sale_ends_at]
    for kind in snapshot.ticket_types:
        moments += (kind.sale_starts_at, kind.sale_ends_at)
        for tier in kind.tiers:
            moments += (tier.starts_at, tier.ends_at)
    return min((at for at in moments if at is not None and at > now_ms), default=None)


def pools(snapshot: Snapshot, kind: TicketType) -> list[str]:
    """Return the names of the counters that a ticket of the type is taken from, tiers aside."""
    names = [f"quota:{snapshot.quotas[index].code}" for index in kind.quotas]
    if kind.category is not None:
        names.insert(0, f"category:{snapshot.categories[kind.category].name}")
    return names


def unknown(snapshot: Snapshot) -> dict[str, int]:
    """Return ``free`` where nothing was read yet: nothing is sold out."""
    names = [*_all_pools(snapshot)]
    for kind in snapshot.ticket_types:
        names += [_tier_counter(kind, tier) for tier in kind.tiers if tier.capacity is not None]
    return dict.fromkeys(names, _COUNTLESS)


def on_map(category: str) -> str:
    """Return the name under which ``free`` has a category's seats for choosing on the map only."""
    return f"map:{category}"


def _all_pools(snapshot: Snapshot) -> dict[str, None]:
    return dict.fromkeys(name for kind in snapshot.ticket_types for name in pools(snapshot, kind))


def _in_pool(name: str, free: Mapping[str, int], *, by_map: bool) -> int:
    found = free.get(name, 0)
    if not by_map and name.startswith("category:"):
        found -= free.get(on_map(name.removeprefix("category:")), 0)
    return found


def _tier_counter(kind: TicketType, tier: Tier) -> str:
    return f"tier:{kind.code}/{tier.code}"


def _is_open(tier: Tier, now_ms: int) -> bool:
    starts = tier.starts_at is None or tier.starts_at <= now_ms
    return starts and (tier.ends_at is None or now_ms < tier.ends_at)


def _open(kind: TicketType, free: Mapping[str, int], now_ms: int) -> list[tuple[int, int]]:
    """Return the open tiers: (index, how many are left at it)."""
    return [
        (
            index,
            _COUNTLESS if tier.capacity is None else free.get(_tier_counter(kind, tier), 0),
        )
        for index, tier in enumerate(kind.tiers)
        if _is_open(tier, now_ms)
    ]


def _window(snapshot: Snapshot, kind: TicketType) -> tuple[int, int]:
    starts = max(snapshot.sale_starts_at, kind.sale_starts_at or snapshot.sale_starts_at)
    return starts, min(snapshot.sale_ends_at, kind.sale_ends_at or snapshot.sale_ends_at)


def _on_sale(snapshot: Snapshot, kind: TicketType, now_ms: int) -> bool:
    starts, ends = _window(snapshot, kind)
    return starts <= now_ms < ends


def _left(
    snapshot: Snapshot, kind: TicketType, free: Mapping[str, int], now_ms: int
) -> tuple[int, int]:
    """Return how many are left in any way, and how many to those who leave the choice of seats."""
    at_tiers = sum(left for _, left in _open(kind, free, now_ms))
    names = pools(snapshot, kind)
    anyhow = min([at_tiers, *(_in_pool(name, free, by_map=True) for name in names)])
    by_quantity = min([at_tiers, *(_in_pool(name, free, by_map=False) for name in names)])
    return max(anyhow, 0), max(by_quantity, 0)


def _windows(snapshot: Snapshot, kind: TicketType) -> list[tuple[int, int]]:
    """Return from when until when each tier is on sale, where it ever is."""
    starts, ends = _window(snapshot, kind)
    found = [
        (
            starts if tier.starts_at is None else max(starts, tier.starts_at),
            ends if tier.ends_at is None else min(ends, tier.ends_at),
        )
        for tier in kind.tiers
    ]
    return [(begin, end) for begin, end in found if begin < end]


def _opens_at(
    snapshot: Snapshot, kind: TicketType, free: Mapping[str, int], now_ms: int
) -> int | None:
    """Return the next opening of a tier at which the smallest order can be had."""
    windows = _windows(snapshot, kind)
    first = min((begin for begin, _ in windows), default=now_ms)
    if now_ms < first:
        return first  # whatever is free of it then: nobody has bought yet
    later = sorted({begin for begin, _ in windows if begin > now_ms})
    return next(
        (at for at in later if _left(snapshot, kind, free, at)[0] >= kind.min_per_order), None
    )


def _state(
    snapshot: Snapshot,
    kind: TicketType,
    now_ms: int,
    anyhow: int,
    by_quantity: int,
    opens_at: int | None,
) -> TicketState:
    windows = _windows(snapshot, kind)
    if all(end <= now_ms for _, end in windows):
        # of one that is never on sale: what its own window says
        return "ended" if windows or now_ms >= _window(snapshot, kind)[1] else "unavailable"
    limits = (kind.max_per_buyer, snapshot.max_per_buyer)
    most = min(kind.max_per_order, snapshot.max_per_order, *(n for n in limits if n is not None))
    if most < kind.min_per_order:
        return "unavailable"
    if all(now_ms < begin for begin, _ in windows):
        return "not_yet"
    if by_quantity:
        return "available"
    if anyhow:
        return "on_map_only"
    return "sold_out" if opens_at is None else "gap"
