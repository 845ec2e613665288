"""What may be on sale and how: types and tiers not yet, open, in a gap, over, limited."""

from __future__ import annotations

import time
from typing import Any

from msgspec.structs import replace

from engine.sale.inventory.snapshot import (
    Category,
    Quota,
    Row,
    SeatKind,
    Section,
    Snapshot,
    TicketType,
    Tier,
)
from tests.houses import seat, small_house

HOUR = 3_600_000  # no window opens or closes while a test runs


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def windows(now: int) -> dict[str, dict[str, Any]]:
    return {
        "always": {},
        "open": {"starts_at": now - HOUR, "ends_at": now + HOUR},
        "not yet": {"starts_at": now + HOUR},
        "later still": {"starts_at": now + 2 * HOUR},
        "ended": {"ends_at": now - HOUR},
    }


def tier(code: str, price: int, window: str, capacity: int | None = None) -> Tier:
    return Tier(code=code, name=code, price=price, capacity=capacity, **windows(now_ms())[window])


def standing(
    *tiers: Tier, code: str = "standing", quotas: tuple[int, ...] = (0,), **limits: Any
) -> TicketType:
    return TicketType(code=code, name=code, kind="general", quotas=quotas, tiers=tiers, **limits)


def seated(
    *tiers: Tier, code: str = "seated", quotas: tuple[int, ...] = (), **limits: Any
) -> TicketType:
    return TicketType(
        code=code, name=code, kind="seat", category=0, quotas=quotas, tiers=tiers, **limits
    )


def house_of(
    *kinds: TicketType, row: str = "....", capacities: tuple[int, ...] = (10, 10), **changes: Any
) -> Snapshot:
    """Standing places and a row of seats: '.' a seat, 'w' a wheelchair place, 'x' one set aside."""
    names: dict[str, SeatKind] = {"w": "wheelchair"}
    seats = [seat("A", 1, i, 0, names.get(kind, "standard")) for i, kind in enumerate(row)]

    return small_house(
        categories=(Category(name="All"),),
        quotas=tuple(
            Quota(code=f"q{i}", name=f"q{i}", capacity=n) for i, n in enumerate(capacities)
        ),
        ticket_types=kinds,
        sections=(
            Section(
                name="A",
                rows=(
                    Row(
                        name="1",
                        seats=tuple(
                            replace(one, blocked=kind == "x")
                            for one, kind in zip(seats, row, strict=True)
                        ),
                    ),
                ),
            ),
        ),
        **{"max_per_order": 12, **changes},
    )


REGULAR = tier("regular", 40, "always")
# name: (types, changes of the house, state, free, price, opens later)
TABLE: dict[str, tuple[TicketType, dict[str, Any], str, int, int | None, bool]] = {
    "open": (standing(REGULAR), {}, "available", 10, 40, False),
    "type not yet": (
        standing(REGULAR, sale_starts_at=now_ms() + HOUR),
        {},
        "not_yet",
        0,
        None,
        True,
    ),
    "type ended": (standing(REGULAR, sale_ends_at=now_ms() - HOUR), {}, "ended", 0, None, False),
    "sale not yet": (
        standing(REGULAR),
        {"sale_starts_at": now_ms() + HOUR},
        "not_yet",
        0,
        None,
        True,
    ),
    "sale ended": (standing(REGULAR), {"sale_ends_at": now_ms() - HOUR}, "ended", 0, None, False),
    "tier not yet": (standing(tier("a", 20, "not yet")), {}, "not_yet", 0, None, True),
    "first tier not yet": (
        standing(tier("a", 20, "not yet"), REGULAR),
        {},
        "available",
        10,
        40,
        False,
    ),
    "first tier ended": (standing(tier("a", 20, "ended"), REGULAR), {}, "available", 10, 40, False),
    "all tiers ended": (standing(tier("a", 20, "ended")), {}, "ended", 0, None, False),
    "between two tiers": (
        standing(tier("a", 20, "ended"), tier("b", 30, "not yet")),
        {},
        "gap",
        0,
        None,
        True,
    ),
    "limited": (standing(tier("a", 20, "open", 3)), {}, "available", 3, 20, False),
    "limited, then another": (
        standing(tier("a", 20, "open", 3), tier("b", 30, "open", 4)),
        {},
        "available",
        7,
        20,
        False,
    ),
    "limited, then as many as there are": (
        standing(tier("a", 20, "open", 3), REGULAR),
        {},
        "available",
        10,
        20,
        False,
    ),
    "limited below the minimum": (
        standing(tier("a", 20, "open", 1), min_per_order=2),
        {},
        "sold_out",
        0,
        None,
        False,
    ),
    "limited below the minimum, then another": (
        standing(tier("a", 20, "open", 1), tier("b", 30, "open", 1), min_per_order=2),
        {},
        "available",
        2,
        20,
        False,
    ),
    "the minimum at the next tier": (
        standing(tier("a", 20, "open", 1), REGULAR, min_per_order=2),
        {},
        "available",
        10,
        40,
        False,
    ),
    "minimum above the rest": (
        standing(REGULAR, min_per_order=4),
        {"capacities": (3, 10)},
        "sold_out",
        0,
        None,
        False,
    ),
    "minimum above the rest, the next tier still to come": (
        standing(tier("a", 20, "open", 1), tier("b", 30, "not yet"), min_per_order=2),
        {},
        "gap",
        0,
        None,
        True,
    ),
    "minimum above the limit of an order": (
        standing(REGULAR, min_per_order=4),
        {"max_per_order": 3},
        "unavailable",
        0,
        None,
        False,
    ),
    "minimum above the limit of a buyer": (
        standing(REGULAR, min_per_order=4, max_per_buyer=3),
        {},
        "unavailable",
        0,
        None,
        False,
    ),
    "maximum": (standing(REGULAR, max_per_order=2), {}, "available", 10, 40, False),
    "two quotas": (
        standing(REGULAR, quotas=(0, 1)),
        {"capacities": (10, 2)},
        "available",
        2,
        40,
        False,
    ),
    "nothing of a quota": (
        standing(REGULAR, quotas=(0, 1)),
        {"capacities": (10, 0)},
        "sold_out",
        0,
        None,
        False,
    ),
    "nothing of a quota, a tier to come": (
        standing(tier("a", 20, "ended"), tier("b", 30, "not yet"), quotas=(1,)),
        {"capacities": (10, 0)},
        "sold_out",
        0,
        None,
        False,
    ),
    "seats": (seated(REGULAR), {}, "available", 4, 40, False),
    "seats set aside": (seated(REGULAR), {"row": "x..x"}, "available", 2, 40, False),
    "all seats set aside": (seated(REGULAR), {"row": "xx"}, "sold_out", 0, None, False),
    "seats and wheelchair places": (seated(REGULAR), {"row": "w..w"}, "available", 2, 40, False),
    "wheelchair places alone": (seated(REGULAR), {"row": "ww"}, "available", 2, 40, False),
    "only wheelchair places left": (
        seated(REGULAR),
        {"row": "wxxw"},
        "on_map_only",
        0,
        40,
        False,
    ),
    "below the minimum without wheelchair places": (
        seated(REGULAR, min_per_order=3),
        {"row": "w..w"},
        "on_map_only",
        0,
        40,
        False,
    ),
    "seats at limited tiers": (
        seated(tier("a", 20, "open", 3), tier("b", 30, "open", 9)),
        {"row": "......"},
        "available",
        6,
        20,
        False,
    ),
    "seats with a quota": (
        seated(REGULAR, quotas=(0,)),
        {"capacities": (3, 1)},
        "available",
        3,
        40,
        False,
    ),
}
