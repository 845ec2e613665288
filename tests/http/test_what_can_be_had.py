"""Over HTTP: counts, lists, the line and holds say the same, also when only the clock moves."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from redis.asyncio import Redis

from engine.catalogue.public.endpoints import list_headers
from engine.core.clock import FollowedClock
from engine.core.ids import new_id
from engine.core.settings import Settings
from engine.platform.http.conditional import public_until
from engine.queue.admission.leader import Admission
from engine.queue.live.boards import Boards
from engine.sale.inventory.live_map import Feed
from engine.sale.inventory.live_reader import PictureReader
from engine.sale.inventory.publication import publish
from engine.sale.inventory.snapshot import Room, Snapshot
from engine.sale.state import SALE
from tests.http.running import SHARD, Edge, eventually, running_edge
from tests.stock_cases import HOUR, TABLE, house_of, now_ms, seated, standing, tier

AN_HOUR_S = 3_600.0
SOON_MS = 1_500  # long enough to be asked before, short enough to wait for
REGULAR = tier("regular", 40, "always")


@pytest.fixture
async def run(edge_settings: Settings, redis_client: Redis) -> AsyncIterator[Any]:
    async with AsyncExitStack() as stack:

        async def make(snapshot: Snapshot) -> Edge:
            await publish(redis_client, snapshot, shard=SHARD)
            return await stack.enter_async_context(
                running_edge(edge_settings, redis_client, snapshot)
            )

        yield make


@pytest.mark.parametrize("case", TABLE)
async def test_every_answer_is_what_a_hold_gets(run: Any, case: str) -> None:
    kind, changes, state, free, price, later = TABLE[case]
    edge: Edge = await run(house_of(kind, **changes))
    found = (await edge.call("GET", edge.occurrence)).json
    (view,) = found["ticket_types"]
    count = (await edge.call("GET", f"{edge.occurrence}/availability")).json["counts"][kind.code]
    serving = (await edge.call("GET", f"{edge.occurrence}/queue/serving")).json
    (event,) = (await edge.call("GET", "/v1/events")).json["items"]
    (listed,) = (await edge.call("GET", "/v1/occurrences")).json["items"]
    one = (await edge.call("GET", f"/v1/events/{edge.snapshot.event_slug}")).json
    assert (view["state"], view["free"]) == (count["state"], count["free"]) == (state, free)
    assert (view["tier"] or {}).get("price") == price
    assert ("opens_at" in count) is (view["opens_at"] is not None) is later
    heads = [event["occurrences"][0], one["occurrences"][0], listed, found]
    assert len({(head["price_from"], head["sold_out"]) for head in heads}) == 1
    assert found["sold_out"] is (state in {"sold_out", "unavailable"})
    if found["sale"]["state"] == "open":
        assert found["price_from"] == price
        assert (serving["left"][0]["left"], serving["left"][0]["price_from"]) == (free, price)
    quantity = max(kind.min_per_order, 1)
    held = await edge.hold(
        await edge.guest(),
        {"ticket_type": kind.code, "quantity": quantity, "allow_split": True},
    )
    assert (held.status == 201) is (state == "available"), held
    if held.status == 201:
        assert held.json["lines"][0]["unit_price"] == price


async def test_a_hold_over_two_tiers_tells_the_price_of_each_ticket(run: Any) -> None:
    kind = standing(tier("early", 20, "open", 3), tier("late", 30, "open", 10))
    edge: Edge = await run(house_of(kind, capacities=(12, 1), max_per_order=12))
    (view,) = (await edge.call("GET", edge.occurrence)).json["ticket_types"]
    assert [(one["price"], one["left"]) for one in view["tiers"]] == [(20, 3), (30, 10)]
    buyer = await edge.guest()
    held = await edge.hold(buyer, {"ticket_type": "standing", "quantity": 10})
    assert [(line["tier"], line["quantity"]) for line in held.json["lines"]] == [("late", 10)]
    path = f"{edge.occurrence}/holds/{held.json['id']}"
    assert (await edge.call("DELETE", path, headers=buyer)).status == 204
    few = standing(tier("early", 20, "open", 3), tier("late", 30, "open", 4), code="few")
    other: Edge = await run(house_of(few))
    held = await other.hold(await other.guest(), {"ticket_type": "few", "quantity": 5})
    lines = [(line["quantity"], line["unit_price"], line["amount"]) for line in held.json["lines"]]
    assert lines == [(3, 20, 60), (2, 30, 60)]
    assert held.json["subtotal"] == 120


async def test_a_paused_sale_is_paused_in_every_count(run: Any) -> None:
    edge: Edge = await run(house_of(seated(REGULAR)))
    await edge.app[SALE].pause(edge.snapshot.occurrence)

    async def paused() -> bool:
        counts = (await edge.call("GET", f"{edge.occurrence}/availability")).json["counts"]
        return bool(counts["seated"]["state"] == "paused")

    await eventually(paused)
    refused = await edge.hold(await edge.guest(), {"ticket_type": "seated", "quantity": 1})
    assert refused.code == "sale_paused"


def opening_at(opens_ms: int) -> Snapshot:
    return house_of(standing(REGULAR, sale_starts_at=opens_ms), room=Room(on=True))


async def test_a_picture_is_not_told_beyond_what_the_clock_changes(run: Any) -> None:
    opens_ms = now_ms() + 2 * HOUR
    edge: Edge = await run(opening_at(opens_ms))
    clock = FollowedClock()
    reader = PictureReader(edge.redis, edge.app[SALE], clock, edge.snapshot.occurrence)
    feed = Feed(reader, AN_HOUR_S, clock)
    before = await feed.picture()
    assert before.counts["standing"].state == "not_yet"
    tag, _ = await feed.body()
    assert await feed.picture() is before
    clock.follow(opens_ms / 1000 + 1, time.monotonic(), time.monotonic())
    assert (await feed.picture()).counts["standing"].state == "available"
    assert (await feed.body())[0] != tag
    await feed.close()


async def test_a_board_is_not_told_beyond_what_the_clock_changes(run: Any) -> None:
    edge: Edge = await run(house_of(standing(REGULAR)))
    boards = Boards(edge.redis, edge.app[SALE].known, AN_HOUR_S, 8)
    opens_ms = now_ms() + SOON_MS
    snapshot = opening_at(opens_ms)
    await publish(edge.redis, snapshot, shard=SHARD)
    before = await boards.get(snapshot.occurrence)
    assert (before.serving.left[0].left, before.serving.left[0].state) == (0, "not_yet")
    # what is hoped for is what there will be
    assert before.free == 10
    assert not before.serving.sold_out
    assert before.on_sale_ms == opens_ms
    assert boards.at_hand(snapshot.occurrence) is before

    async def opened() -> bool:
        return (await boards.get(snapshot.occurrence)).serving.left[0].state == "available"

    await eventually(opened)
    await boards.stop()


async def test_one_who_waits_before_a_full_room_is_not_told_that_it_is_their_turn(
    run: Any,
) -> None:
    edge: Edge = await run(
        house_of(
            standing(REGULAR, quotas=(0, 1)),
            capacities=(500, 500),
            room=Room(opens_at=now_ms() - HOUR, cap=1, rate=1_000, rate_ms=1_000),
        )
    )
    room, occurrence = edge.app[SALE].waiting, edge.snapshot.occurrence
    admission = Admission(edge.app[SALE], edge.redis)
    buyers = [new_id() for _ in range(3)]
    for buyer in buyers:
        await room.join(buyer, occurrence)

    async def first_is_called() -> bool:
        await admission.run_once()
        return (await room.status(buyers[0], occurrence)).state == "called"

    await eventually(first_is_called)
    await room.enter(buyers[0], occurrence)

    async def full() -> bool:
        return (await room.board(occurrence)).queue.inside == 1

    await eventually(full)
    eta = (await room.status(buyers[2], occurrence)).eta
    assert eta is not None
    assert eta.likely_ms > 60_000  # two have to leave first, who have ten minutes each
    assert eta.from_ms <= eta.likely_ms <= eta.to_ms
    await admission.stop()


async def test_nobody_is_called_between_two_prices(run: Any) -> None:
    kind = standing(tier("early", 20, "ended"), tier("late", 30, "not yet"))
    edge: Edge = await run(house_of(kind, room=Room(opens_at=now_ms() - HOUR)))
    room, occurrence = edge.app[SALE].waiting, edge.snapshot.occurrence
    buyer = new_id()
    await room.join(buyer, occurrence)
    admission = Admission(edge.app[SALE], edge.redis)

    async def has_number() -> bool:
        await admission.run_once()
        return (await room.status(buyer, occurrence)).number is not None

    await eventually(has_number)
    for _ in range(10):
        await admission.run_once()
    view = await room.status(buyer, occurrence)
    assert (view.state, view.chance, view.sold_out) == ("waiting", 100, False)
    assert view.eta is not None
    assert view.eta.from_ms > HOUR / 2
    assert [left.state for left in view.left] == ["gap"]
    await admission.stop()


@pytest.mark.parametrize(
    ("changes_in_ms", "expected"),
    [(None, 2), (5_000, 2), (2_000, 2), (1_999, 1), (1_000, 1), (999, 0), (0, 0), (-5, 0)],
)
def test_nothing_is_kept_beyond_what_the_clock_changes(
    changes_in_ms: int | None, expected: int
) -> None:
    at_ms = None if changes_in_ms is None else HOUR + changes_in_ms
    assert public_until(2_000, HOUR, at_ms) == f"public, max-age={expected}"


async def test_lists_and_the_line_say_for_how_long_they_may_be_kept(run: Any) -> None:
    soon = house_of(standing(REGULAR, sale_ends_at=now_ms() + HOUR))
    edge: Edge = await run(soon)
    for path in ("/v1/events", "/v1/occurrences", f"/v1/events/{edge.snapshot.event_slug}"):
        assert (await edge.call("GET", path)).headers["Cache-Control"] == "public, max-age=2"
    serving = await edge.call("GET", f"{edge.occurrence}/queue/serving")
    assert serving.headers["Cache-Control"] == "public, max-age=1"
    at_ms = (soon.ticket_types[0].sale_ends_at or 0) - 1_500
    assert list_headers([soon], at_ms) == {"Cache-Control": "public, max-age=1"}
