"""Lists of what is on sale: in which order, and with something broken among it."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.platform.http.state import METRICS
from engine.platform.valkey import keys
from engine.sale.inventory import views
from engine.sale.inventory.publication import publish
from engine.sale.inventory.snapshot import Snapshot
from engine.sale.state import SALE
from tests.breakages import UNREADABLE
from tests.http.running import HOUR_MS, SHARD, Edge, eventually, make_snapshot

BASE = make_snapshot()
NOW = BASE.sale_starts_at + HOUR_MS


def _at(hours: int, event: str = "e") -> Snapshot:
    return replace(
        BASE,
        occurrence=f"{hours:+05d}-{event}",
        event=event,
        starts_at=NOW + hours * HOUR_MS,
        ends_at=NOW + (hours + 2) * HOUR_MS,
    )


def test_the_next_is_first_and_what_is_over_is_last() -> None:
    hours = [-1, 1, 5, 100, -2, -3, -50]  # -1: it has begun; -2: it ends this moment
    mixed = [_at(hour) for hour in hours]
    random.Random(1).shuffle(mixed)  # noqa: S311 - a test's dice
    assert views.listed(mixed, NOW) == [_at(hour) for hour in hours]
    events = [_at(-30, "past"), _at(9, "later"), _at(-90, "later"), _at(3, "next"), _at(-2, "gone")]
    found = views.by_event(events, NOW)
    assert [event[0].event for event in found] == ["next", "later", "gone", "past"]
    assert [one.starts_at for one in found[1]] == [_at(9).starts_at, _at(-90).starts_at]


@given(st.lists(st.integers(-200, 200), max_size=30, unique=True))
def test_the_order_is_whole_and_stable(hours: list[int]) -> None:
    snapshots = [_at(hour) for hour in hours]
    listed = views.listed(snapshots, NOW)
    assert listed == views.listed(reversed(listed), NOW)
    assert sorted(one.occurrence for one in listed) == sorted(one.occurrence for one in snapshots)
    over = [one.ends_at <= NOW for one in listed]
    assert over == sorted(over)
    for first, second in itertools.pairwise(listed):
        if (first.ends_at <= NOW) == (second.ends_at <= NOW):
            assert (first.starts_at < second.starts_at) == (first.ends_at > NOW)


async def test_past_events_are_behind_the_next_ones(edge: Edge) -> None:
    past = make_snapshot(event_slug="past", starts_at=NOW - 9 * HOUR_MS, ends_at=NOW - 5 * HOUR_MS)
    await publish(edge.redis, past, shard=SHARD)

    async def listed() -> bool:
        return len((await edge.call("GET", "/v1/events")).json["items"]) == 2

    await eventually(listed)
    events = (await edge.call("GET", "/v1/events")).json["items"]
    assert [event["slug"] for event in events] == ["a-concert", "past"]
    page = (await edge.call("GET", "/v1/occurrences?limit=1")).json
    assert page["items"][0]["id"] == edge.snapshot.occurrence
    rest = (await edge.call("GET", f"/v1/occurrences?limit=1&cursor={page['next']}")).json
    assert [one["id"] for one in rest["items"]] == [past.occurrence]


@pytest.mark.parametrize("how", UNREADABLE)
async def test_a_broken_occurrence_is_left_out_and_everything_else_answers(
    edge: Edge, how: str
) -> None:
    broken = make_snapshot(event_slug="broken")
    await publish(edge.redis, broken, shard=SHARD)
    await UNREADABLE[how](edge.redis, keys.prefix(SHARD, broken.occurrence), broken.occurrence)
    sale = edge.app[SALE]

    async def noticed() -> bool:
        assert (await edge.call("GET", "/v1/events")).status == 200
        return len(sale.known.failing) == 1

    await eventually(noticed)
    for path, count in (("/v1/events", 1), ("/v1/occurrences", 1)):
        answer = await edge.call("GET", path)
        assert (answer.status, len(answer.json["items"])) == (200, count)
    for path in ("", "/availability", "/seat-map"):
        assert (await edge.call("GET", edge.occurrence + path)).status == 200
        gone = await edge.call("GET", f"/v1/occurrences/{broken.occurrence}{path}")
        assert gone.status == 404

    async def counted() -> bool:
        return b"onsale_occurrences_unreadable 1.0" in edge.app[METRICS].exposition()

    await eventually(counted)
