from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.sale.inventory.set_aside import blocked_seats, least_blocked, with_blocked
from engine.sale.inventory.snapshot import Snapshot
from tests.houses import small_house

HOUSE = small_house()
GUIDS = [seat.guid for one in HOUSE.sections for row in one.rows for seat in row.seats]
_guids = st.sets(st.sampled_from(GUIDS))


def _aside(snapshot: Snapshot, quotas: tuple[int, int]) -> Snapshot:
    changed = zip(snapshot.quotas, quotas, strict=True)
    return replace(snapshot, quotas=tuple(replace(quota, blocked=n) for quota, n in changed))


@given(guids=_guids, others=_guids)
def test_exactly_these_seats_are_set_aside_and_nothing_else_changes(
    guids: set[str], others: set[str]
) -> None:
    made = with_blocked(with_blocked(HOUSE, others), guids)
    assert list(blocked_seats(made)) == [guid for guid in GUIDS if guid in guids]
    assert with_blocked(made, set()) == HOUSE


@given(one=_guids, other=_guids, first=st.integers(0, 5), second=st.integers(0, 5))
def test_of_two_only_what_both_set_aside_is(
    one: set[str], other: set[str], first: int, second: int
) -> None:
    new = replace(_aside(with_blocked(HOUSE, one), (first, 1)), event_name="New")
    least = least_blocked(new, _aside(with_blocked(HOUSE, other), (second, 0)))
    assert blocked_seats(least).keys() == one & other
    assert [quota.blocked for quota in least.quotas] == [min(first, second), 0]
    assert least.event_name == "New"
