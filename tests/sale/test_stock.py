"""What lists, counts and the line say of the stock: one function's answer, in their words."""

from __future__ import annotations

import pytest

from engine.queue.live.supply import Supply, supply
from engine.sale.inventory import layout, stock, views
from engine.sale.inventory.occurrences import Published
from engine.sale.inventory.snapshot import Snapshot
from engine.sale.inventory.stock_reading import Reading, free_by_name
from tests.stock_cases import HOUR, TABLE, house_of, now_ms, seated, standing, tier

REGULAR = tier("regular", 40, "always")


def free_of(snapshot: Snapshot) -> dict[str, int]:
    """What is free before anybody buys."""
    published, plan = Published(snapshot, 0, 1), layout.lay_out(snapshot)
    counters = {one.name: one.capacity - one.blocked for one in plan.counters}
    sections = {index: section.seats for index, section in enumerate(plan.sections)}
    return free_by_name(published, counters, sections)


def line_of(snapshot: Snapshot, at_ms: int, *, held: int = 0, paused: bool = False) -> Supply:
    reading = Reading(free=free_of(snapshot), held={"quota:q0": held}, sold={}, paused=paused)
    return supply(snapshot, reading, at_ms)


@pytest.mark.parametrize("case", TABLE)
def test_everybody_says_the_same(case: str) -> None:
    kind, changes, state, free, price, later = TABLE[case]
    snapshot, now = house_of(kind, **changes), now_ms()
    counters = free_of(snapshot)
    count = views.counts(snapshot, counters, now)[kind.code]
    (view,) = views.occurrence_view(snapshot, counters, now).ticket_types
    head = views.summary(snapshot, now, counters)
    line = line_of(snapshot, now)
    assert (count.state, view.state) == (state, state)
    assert (count.free, view.free) == (free, free)
    assert (count.opens_at is not None) is (view.opens_at is not None) is later
    assert (None if view.tier is None else view.tier.price) == price
    over = state in {"sold_out", "unavailable"}
    assert (head.sold_out, line.sold_out) == (over, over)
    if now >= snapshot.sale_starts_at:
        (left,) = line.left
        assert head.price_from == price == left.price_from
        assert (left.left, left.state) == (free, state)
        assert bool(view.tiers) is (price is not None)
    # a line waits for what is to come, and hopes for nothing else
    assert (line.on_sale_ms > now) is later
    assert (line.by_map > 0) is (later or state in {"available", "on_map_only"})
    if not later:
        assert line.free == free


def test_before_the_sale_lists_and_the_line_tell_of_its_opening() -> None:
    now = now_ms()
    kind = standing(tier("early", 20, "not yet", 4), REGULAR)
    snapshot = house_of(kind, sale_starts_at=now + 2 * HOUR)
    head, line = views.summary(snapshot, now, free_of(snapshot)), line_of(snapshot, now)
    assert head.price_from == line.left[0].price_from == 20
    assert line.left[0].left == line.free == 10
    assert line.on_sale_ms == now + 2 * HOUR
    assert not line.sold_out


def test_without_a_reading_prices_go_by_the_clock_and_nothing_is_sold_out() -> None:
    kind = standing(tier("early", 20, "ended"), tier("few", 30, "open", 2), REGULAR)
    head = views.summary(house_of(kind, capacities=(0, 0)), now_ms())
    assert (head.price_from, head.sold_out) == (30, False)


def test_in_a_pause_what_would_be_available_is_paused_and_nothing_else() -> None:
    now = now_ms()
    for case, (kind, changes, state, *_) in TABLE.items():
        snapshot = house_of(kind, **changes)
        found = views.counts(snapshot, free_of(snapshot), now, paused=True)[kind.code]
        expected = "paused" if state in {"available", "on_map_only"} else state
        assert found.state == expected, case


def test_nothing_is_sold_out_as_long_as_some_of_it_is_held() -> None:
    snapshot = house_of(standing(REGULAR), capacities=(0, 0))
    assert line_of(snapshot, now_ms()).sold_out
    assert not line_of(snapshot, now_ms(), held=1).sold_out


@pytest.mark.parametrize(
    ("kinds", "changes", "expected"),
    [
        # one category, an adult and a child price
        ((seated(REGULAR), seated(REGULAR, code="child")), {}, 4),
        # limited tiers of one pool add up
        (
            (seated(tier("a", 1, "open", 1)), seated(tier("a", 1, "open", 2), code="child")),
            {},
            3,
        ),
        # a quota within the category
        ((seated(REGULAR), seated(REGULAR, code="child", quotas=(0,))), {}, 4),
        (
            (seated(REGULAR, quotas=(0,)), seated(REGULAR, code="c", quotas=(0,))),
            {"row": "." * 30},
            10,
        ),
        # a quota that several general types share
        ((standing(REGULAR), standing(REGULAR, code="b")), {}, 10),
        (
            (standing(REGULAR, quotas=(0, 1)), standing(REGULAR, code="b")),
            {"capacities": (9, 2)},
            9,
        ),
        # crossing quotas: the one that needs both goes last
        (
            (
                standing(REGULAR, quotas=(0, 1)),
                standing(REGULAR, code="b"),
                standing(REGULAR, code="c", quotas=(1,)),
            ),
            {},
            20,
        ),
        # what is not on sale does not count
        ((standing(REGULAR), seated(tier("a", 1, "not yet"))), {}, 10),
        ((standing(REGULAR), seated(tier("a", 1, "ended"))), {}, 10),
        ((standing(REGULAR, min_per_order=4), seated(REGULAR)), {"capacities": (3, 1)}, 4),
        ((seated(REGULAR),), {"row": "w..w"}, 2),
    ],
)
def test_the_total_is_what_all_can_have_together(
    kinds: tuple[object, ...], changes: dict[str, object], expected: int
) -> None:
    assert line_of(house_of(*kinds, **changes), now_ms()).free == expected  # type: ignore[arg-type]


def test_the_next_change_is_the_nearest_moment_that_the_clock_reaches() -> None:
    now = now_ms()
    kind = standing(tier("a", 1, "not yet"), tier("b", 1, "later still"), sale_ends_at=now + 90)
    snapshot = house_of(kind, sale_starts_at=now - HOUR, sale_ends_at=now + 3 * HOUR)
    moments = [snapshot.sale_starts_at - 1]
    while (at := stock.next_change(snapshot, moments[-1])) is not None:
        moments.append(at)
    starts = [one.starts_at for one in kind.tiers]
    assert moments[1:] == [now - HOUR, now + 90, *starts, now + 3 * HOUR]


def test_between_two_changes_nothing_changes_and_at_each_it_may() -> None:
    """The moments are complete: no answer depends on the clock in between."""
    now = now_ms()
    for kind, changes, *_ in TABLE.values():
        snapshot = house_of(kind, **changes)
        free, at = free_of(snapshot), now - 3 * HOUR
        while (until := stock.next_change(snapshot, at)) is not None:
            first = views.counts(snapshot, free, at)
            assert views.counts(snapshot, free, (at + until) // 2) == first
            assert views.counts(snapshot, free, until - 1) == first
            at = until


def test_unknown_stock_has_a_name_for_every_counter() -> None:
    snapshot = house_of(seated(tier("a", 1, "open", 3)), standing(REGULAR), capacities=(1, 1))
    assert set(stock.unknown(snapshot)) == {"category:All", "quota:q0", "tier:seated/a"}
