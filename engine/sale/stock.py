"""What can be had of each ticket type, from what is free of each pool. Pure functions.

``free``: counter name -> what is free of it; ``now_ms``: wall-clock time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from engine.core.snapshot import Snapshot, TicketType, Tier

TicketState = Literal["not_yet", "available", "sold_out", "ended"]


def current_tier(kind: TicketType, free: Mapping[str, int], now_ms: int) -> Tier | None:
    """Return the first tier with an open window and stock left; None if there is none."""
    return next(
        (
            tier
            for tier in _open_tiers(kind.tiers, now_ms)
            if tier.capacity is None or free.get(f"tier:{kind.code}/{tier.code}", 0) > 0
        ),
        None,
    )


def left(snapshot: Snapshot, kind: TicketType, free: Mapping[str, int], now_ms: int) -> int:
    """Return how many of a type can be had: the least of its pools, if a price applies at all."""
    in_pools = min((free.get(name, 0) for name in pools(snapshot, kind)), default=0)
    return in_pools if current_tier(kind, free, now_ms) is not None else 0


def pools(snapshot: Snapshot, kind: TicketType) -> list[str]:
    """Return the names of the counters that a ticket of the type is taken from, tiers aside."""
    names = [f"quota:{snapshot.quotas[index].code}" for index in kind.quotas]
    if kind.category is not None:
        names.insert(0, f"category:{snapshot.categories[kind.category].name}")
    return names


def state(snapshot: Snapshot, kind: TicketType, left: int, now_ms: int) -> TicketState:
    """Return whether a type with so many ``left`` is on sale."""
    starts_at = max(snapshot.sale_starts_at, kind.sale_starts_at or 0)
    ends_at = min(snapshot.sale_ends_at, kind.sale_ends_at or snapshot.sale_ends_at)
    if now_ms < starts_at:
        return "not_yet"
    if now_ms >= ends_at:
        return "ended"
    return "available" if left >= kind.min_per_order else "sold_out"


def total_left(snapshot: Snapshot, lefts: Mapping[str, int]) -> int:
    """Return how many tickets can be had in all. ``lefts``: ticket type code -> left of it.

    Types that share their first pool are counted once, by the largest.
    """
    of_pool: dict[str, int] = {}
    for kind in snapshot.ticket_types:
        pool = next(iter(pools(snapshot, kind)), kind.code)
        of_pool[pool] = max(of_pool.get(pool, 0), lefts[kind.code])
    return sum(of_pool.values())


def _open_tiers(tiers: Sequence[Tier], now_ms: int) -> list[Tier]:
    return [
        tier
        for tier in tiers
        if (tier.starts_at is None or tier.starts_at <= now_ms)
        and (tier.ends_at is None or now_ms < tier.ends_at)
    ]
