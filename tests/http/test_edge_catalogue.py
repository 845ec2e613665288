"""What is on sale: lists, one occurrence, the seat map, what is free."""

from __future__ import annotations

import gzip
import time
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from engine.core.ids import new_id
from engine.core.settings import Settings
from engine.core.times import rfc3339
from engine.sale.inventory import stock, views
from engine.sale.inventory.publication import publish, republish
from engine.sale.inventory.snapshot import TicketType, Tier
from tests.http.running import HOUR_MS, SHARD, Edge, eventually, make_snapshot, running_edge

NOW = 1_800_000_000_000


async def test_lists_are_paged_in_order_of_the_start(
    edge_settings: Settings, redis_client: Redis
) -> None:
    start = int(time.time() * 1000) + HOUR_MS
    event = new_id()
    snapshots = [
        make_snapshot(starts_at=start + place * HOUR_MS, event=event) for place in (2, 0, 1, 1, 3)
    ]
    for snapshot in snapshots:
        await publish(redis_client, snapshot, shard=SHARD)
    async with running_edge(edge_settings, redis_client, snapshots[0]) as edge:
        seen: list[str] = []
        cursor = ""
        for _ in range(3):
            page = (await edge.call("GET", f"/v1/occurrences?limit=2{cursor}")).json
            seen += [item["id"] for item in page["items"]]
            cursor = f"&cursor={page['next']}"
        assert page["next"] is None
        expected = sorted(snapshots, key=lambda s: (s.starts_at, s.occurrence))
        assert seen == [snapshot.occurrence for snapshot in expected]

        events = (await edge.call("GET", "/v1/events")).json
        (found,) = events["items"]
        assert [item["id"] for item in found["occurrences"]] == seen
        for name in (event, "a-concert"):
            one = (await edge.call("GET", f"/v1/events/{name}")).json
            assert [item["id"] for item in one["occurrences"]] == seen
        unknown = await edge.call("GET", "/v1/events/another")
        assert (unknown.status, unknown.code) == (404, "not_found")


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", "limit=1&limit=2", "cursor=x", "more=1", "limit="]
)
async def test_a_malformed_query_is_400(edge: Edge, query: str) -> None:
    answer = await edge.call("GET", f"/v1/occurrences?{query}")
    assert (answer.status, answer.code) == (400, "invalid_request")


async def test_a_cursor_that_is_gone_is_404(edge: Edge) -> None:
    answer = await edge.call("GET", f"/v1/occurrences?cursor={new_id()}")
    assert (answer.status, answer.code) == (404, "not_found")


async def test_an_occurrence_tells_prices_limits_fees_and_what_is_free(edge: Edge) -> None:
    found = (await edge.call("GET", edge.occurrence)).json
    assert found["event"]["slug"] == "a-concert"
    assert found["sale"]["state"] == "open"
    assert found["sale"]["opens_in_ms"] < 0 < found["sale"]["closes_in_ms"]
    assert found["price_from"] == 1500
    assert found["fees"]["platform_per_ticket"] == 50
    assert found["limits"]["hold_ttl_ms"] == 420_000
    kinds = {kind["code"]: kind for kind in found["ticket_types"]}
    assert (kinds["stalls"]["free"], kinds["stalls"]["category"]) == (24, "Stalls")
    assert (kinds["standing"]["free"], kinds["standing"]["tier"]["code"]) == (20, "early")

    buyer = await edge.guest()
    await edge.hold(buyer, {"ticket_type": "standing", "quantity": 5})

    async def dearer() -> bool:
        now = (await edge.call("GET", edge.occurrence)).json["ticket_types"]
        standing = next(kind for kind in now if kind["code"] == "standing")
        return bool(standing["tier"]["code"] == "late" and standing["free"] == 15)

    await eventually(dearer)


async def test_the_seat_map_names_the_place_of_every_seat_in_the_states(edge: Edge) -> None:
    seat_map = (await edge.call("GET", f"{edge.occurrence}/seat-map")).json
    states = (await edge.call("GET", f"{edge.occurrence}/availability")).json
    assert states["sections"] == ["........|........|........"] * 2
    buyer = await edge.guest()
    await edge.hold(buyer, {"ticket_type": "circle", "seats": ["Circle-2-3"]})

    async def held() -> bool:
        now = (await edge.call("GET", f"{edge.occurrence}/availability")).json
        return bool(now["version"] > states["version"])

    await eventually(held)
    now = (await edge.call("GET", f"{edge.occurrence}/availability")).json
    taken = [
        seat["guid"]
        for section, string in zip(seat_map["sections"], now["sections"], strict=True)
        for row in section["rows"]
        for place, seat in enumerate(row["seats"])
        if string[row["at"] + place] == "h"
    ]
    assert taken == ["Circle-2-3"]
    assert now["counts"]["circle"] == {"free": 23, "state": "available"}


async def test_the_seat_map_is_asked_for_again_by_its_etag(edge: Edge) -> None:
    path = f"{edge.occurrence}/seat-map"
    first = await edge.call("GET", path, headers={"Accept-Encoding": "identity"})
    assert "max-age" in first.headers["Cache-Control"]
    assert first.headers["ETag"] == f'"{first.json["version"]}"'
    for tag in (
        first.headers["ETag"],
        f"W/{first.headers['ETag']}",
        '"x", ' + first.headers["ETag"],
    ):
        again = await edge.call("GET", path, headers={"If-None-Match": tag})
        assert (again.status, again.raw) == (304, b"")
    other = await edge.call("GET", path, headers={"If-None-Match": '"another"'})
    assert other.status == 200


async def test_the_seat_map_is_compressed_beforehand_for_those_who_take_it(edge: Edge) -> None:
    path = f"{edge.url}{edge.occurrence}/seat-map"
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        async with session.get(path, headers={"Accept-Encoding": "gzip"}) as response:
            assert response.headers["Content-Encoding"] == "gzip"
            assert response.headers["Vary"] == "Accept-Encoding"
            packed = await response.read()
        async with session.get(path, headers={"Accept-Encoding": "identity"}) as response:
            assert gzip.decompress(packed) == await response.read()


async def test_availability_is_asked_for_again_by_its_etag(edge: Edge) -> None:
    path = f"{edge.occurrence}/availability"
    first = await edge.call("GET", path)
    again = await edge.call("GET", path, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status, again.raw) == (304, b"")
    buyer = await edge.guest()
    await edge.hold(buyer, {"ticket_type": "standing", "quantity": 1})

    async def changed() -> bool:
        answer = await edge.call("GET", path, headers={"If-None-Match": first.headers["ETag"]})
        return answer.status == 200

    await eventually(changed)


async def test_a_publication_in_mid_sale_is_seen(edge: Edge) -> None:
    path = f"{edge.occurrence}/availability"
    first = (await edge.call("GET", path)).json
    more = make_snapshot(
        occurrence=edge.snapshot.occurrence,
        ticket_types=(
            *edge.snapshot.ticket_types,
            TicketType(
                code="late-stalls",
                name="Late",
                kind="seat",
                category=0,
                tiers=(Tier(code="few", name="Few", price=1, capacity=3),),
            ),
        ),
    )
    await republish(edge.redis, more)

    async def seen() -> bool:
        now = (await edge.call("GET", path)).json
        return "late-stalls" in now["counts"] and now["counts"]["late-stalls"]["free"] > 0

    await eventually(seen)
    assert "late-stalls" not in first["counts"]


def test_an_event_lists_a_bounded_number_of_occurrences() -> None:
    snapshot = make_snapshot()
    many = [replace(snapshot, starts_at=snapshot.starts_at + day) for day in range(150)]
    (event,) = views.by_event(reversed(many))
    found = views.event_view(event, NOW)
    assert len(found.occurrences) == views.EVENT_OCCURRENCES_MAX
    assert found.occurrences[0].starts_at == rfc3339(snapshot.starts_at)


def kind(**changes: Any) -> TicketType:
    values: dict[str, Any] = {
        "code": "standing",
        "name": "Standing",
        "kind": "general",
        "quotas": (0,),
        "tiers": (
            Tier(code="early", name="Early", price=1, capacity=5, ends_at=NOW + 10),
            Tier(code="late", name="Late", price=2, starts_at=NOW),
        ),
    }
    return TicketType(**{**values, **changes})


@pytest.mark.parametrize(
    ("now_ms", "early_left", "expected"),
    [
        (NOW - 1, 5, "early"),
        (NOW - 1, 0, None),
        (NOW, 5, "early"),
        (NOW, 0, "late"),
        (NOW + 10, 5, "late"),
    ],
)
def test_the_first_tier_that_is_open_and_left_applies(
    now_ms: int, early_left: int, expected: str | None
) -> None:
    tier = stock.current_tier(kind(), {"tier:standing/early": early_left}, now_ms)
    assert (tier and tier.code) == expected


@pytest.mark.parametrize(
    ("now_ms", "free", "changes", "expected"),
    [
        (NOW, 3, {}, "available"),
        (NOW, 0, {}, "sold_out"),
        (NOW, 1, {"min_per_order": 2}, "sold_out"),
        (NOW, 3, {"sale_starts_at": NOW + 1}, "not_yet"),
        (NOW, 3, {"sale_ends_at": NOW}, "ended"),
        (NOW - HOUR_MS - 1, 3, {}, "not_yet"),
        (NOW + HOUR_MS, 3, {}, "ended"),
    ],
)
def test_a_ticket_types_state(
    now_ms: int, free: int, changes: dict[str, Any], expected: str
) -> None:
    tiers = (Tier(code="only", name="Only", price=1),)
    snapshot = make_snapshot(
        sale_starts_at=NOW - HOUR_MS,
        sale_ends_at=NOW + HOUR_MS,
        ticket_types=(kind(tiers=tiers, **changes),),
    )
    found = views.counts(snapshot, {"quota:floor": free}, now_ms)["standing"]
    assert found.state == expected


@pytest.mark.parametrize(
    ("now_ms", "expected"),
    [(NOW - 1, "upcoming"), (NOW, "open"), (NOW + 9, "open"), (NOW + 10, "closed")],
)
def test_the_sale_window(now_ms: int, expected: str) -> None:
    snapshot = make_snapshot(sale_starts_at=NOW, sale_ends_at=NOW + 10)
    window = views.summary(snapshot, now_ms).sale
    assert window.state == expected
    assert window.opens_in_ms == NOW - now_ms
