"""The waiting room over HTTP: places, the shared document, the draw, tickets."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from engine.core.settings import Settings
from engine.platform.http.state import SIGNER
from engine.queue.draw import numbers as draw
from tests.http.lines import LINES, LineEdge, running_line
from tests.http.running import HOUR_MS


@pytest.fixture
def line_settings(edge_settings: Settings) -> Settings:
    return replace(edge_settings, door_difficulty=0)


@pytest.fixture
async def line(line_settings: Settings, redis_client: Redis) -> AsyncIterator[LineEdge]:
    async with running_line(line_settings, redis_client) as one:
        yield one


async def test_a_buyer_has_one_place_however_often_they_join(line: LineEdge) -> None:
    buyer, first = await line.join()
    assert (first["state"], first["number"]) == ("pre-queue", None)
    assert 0 < first["opens_in_ms"] <= HOUR_MS // 4
    again = await asyncio.gather(*(line.join(buyer) for _ in range(5)))
    assert {view["state"] for _, view in again} == {"pre-queue"}
    assert (await line.state()).queue.count == 1


async def test_a_joins_body_is_optional_and_checked(line: LineEdge) -> None:
    buyer = await line.edge.guest()
    for json, status in ({}, 200), ({"challenge": "x"}, 200), ({"chalenge": "x"}, 400):
        answer = await line.edge.call("POST", line.url, json=json, headers=buyer)
        assert answer.status == status, answer
    answer = await line.edge.call("POST", line.url, json={"challenge": "x" * 5000}, headers=buyer)
    assert (answer.status, answer.json["path"]) == (400, "$.challenge")


async def test_without_a_place_there_is_nothing_to_read(line: LineEdge) -> None:
    buyer = await line.edge.guest()
    answer = await line.edge.call("GET", line.url, headers=buyer)
    assert (answer.status, answer.code) == (404, "not_in_queue")


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", ""), ("GET", ""), ("DELETE", ""), ("POST", "/enter"), ("POST", "/ticket")],
)
async def test_places_are_for_buyers_with_a_token(line: LineEdge, method: str, path: str) -> None:
    answer = await line.edge.call(method, line.url + path)
    assert (answer.status, answer.code) == (401, "unauthorized")


async def test_from_joining_to_holding(line: LineEdge) -> None:
    buyer, _ = await line.join()
    refused = await line.edge.hold(buyer, *LINES)
    assert (refused.status, refused.code) == (409, "not_inside")
    early = await line.enter(buyer)
    assert (early.status, early.code) == (409, "not_called")
    await line.open()
    view = await line.look(buyer)
    assert (view["state"], view["number"], view["ahead"]) == ("waiting", 1, 0)
    early = await line.enter(buyer)
    assert (early.status, early.code) == (409, "not_called")
    await line.call(1)
    view = await line.look(buyer)
    assert view["state"] == "called"
    assert 0 < view["claim_in_ms"] <= 120_000
    inside = await line.enter(buyer)
    assert (inside.status, inside.json["state"]) == (200, "inside")
    assert (await line.enter(buyer)).json["state"] == "inside"
    assert (await line.edge.hold(buyer, *LINES)).status == 201


async def test_leaving_gives_the_place_up_and_may_be_repeated(line: LineEdge) -> None:
    buyer, _ = await line.join()
    for _ in range(2):
        answer = await line.edge.call("DELETE", line.url, headers=buyer)
        assert (answer.status, answer.raw) == (204, b"")
    answer = await line.edge.call("GET", line.url, headers=buyer)
    assert answer.code == "not_in_queue"


async def test_too_early_says_when_to_come(line_settings: Settings, redis_client: Redis) -> None:
    async with running_line(line_settings, redis_client, opens_in_ms=HOUR_MS) as line:
        buyer = await line.edge.guest()
        answer = await line.edge.call("POST", line.url, headers=buyer)
        assert (answer.status, answer.code) == (409, "queue_closed")
        assert 1_700 < int(answer.headers["Retry-After"]) <= 1_800
        assert answer.json["reason"] == "early"


async def test_where_no_room_is_nobody_waits(line_settings: Settings, redis_client: Redis) -> None:
    async with running_line(line_settings, redis_client, on=False) as line:
        answer = await line.edge.call("POST", line.url, headers=await line.edge.guest())
        assert (answer.status, answer.code) == (409, "queue_closed")
        assert answer.json["reason"] == "off"
        assert "Retry-After" not in answer.headers
        assert (await line.edge.call("GET", f"{line.url}/serving")).json["state"] == "off"


async def test_a_proof_of_work_is_asked_at_the_door(
    edge_settings: Settings, redis_client: Redis
) -> None:
    settings = replace(edge_settings, door_difficulty=10)
    async with running_line(settings, redis_client) as line:
        buyer = await line.edge.guest()
        answer = await line.edge.call("POST", line.url, headers=buyer)
        assert (answer.status, answer.code) == (403, "challenge_required")


async def test_serving_is_the_same_for_all_and_kept_for_a_second(line: LineEdge) -> None:
    await line.join()
    answer = await line.edge.call("GET", f"{line.url}/serving")
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "public, max-age=1"
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json["state"] == "pre-queue"
    await line.command("close")  # nothing counts down any more
    answer = await line.edge.call("GET", f"{line.url}/serving")
    while answer.json["state"] != "closed":
        answer = await line.edge.call("GET", f"{line.url}/serving")
    tag = answer.headers["ETag"]
    again = await line.edge.call("GET", f"{line.url}/serving", headers={"If-None-Match": tag})
    assert (again.status, again.raw, again.headers["ETag"]) == (304, b"", tag)


async def test_the_draw_can_be_checked_by_anybody(line: LineEdge) -> None:
    buyers = [(await line.join())[0] for _ in range(7)]
    before = await line.edge.call("GET", f"{line.url}/draw")
    assert before.json["drawn"] is False
    assert before.json["seed"] is before.json["digest"] is None
    assert before.headers["Cache-Control"] == "public, max-age=5"
    roster = await line.edge.call("GET", f"{line.url}/roster")
    assert (roster.status, roster.code) == (404, "not_found")
    assert roster.headers["Cache-Control"] == "no-store"
    await line.open()
    after = await line.edge.call("GET", f"{line.url}/draw")
    assert after.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    found = after.json
    assert found["commitment"] == before.json["commitment"]
    seed = bytes.fromhex(found["seed"])
    assert hashlib.sha256(seed).hexdigest() == found["commitment"]
    pieces = [
        await line.edge.call("GET", f"{line.url}/roster?start={start}&count=3")
        for start in (0, 3, 6)
    ]
    assert {piece.headers["Content-Type"] for piece in pieces} == {"application/octet-stream"}
    assert {piece.headers["Cache-Control"] for piece in pieces} == {
        "public, max-age=31536000, immutable"
    }
    roster_bytes = b"".join(piece.raw for piece in pieces)
    assert len(roster_bytes) == 7 * draw.LEAF_BYTES
    assert hashlib.sha256(roster_bytes).hexdigest() == found["digest"]
    key = draw.draw_key(seed, bytes.fromhex(found["digest"]))
    for buyer in buyers:
        view = await line.look(buyer)
        index = view["roster_index"]
        claims = line.edge.app[SIGNER].verify(buyer["Authorization"].removeprefix("Bearer "))
        leaf = draw.leaf(line.edge.snapshot.occurrence, claims.sub)
        assert roster_bytes[index * 16 : index * 16 + 16] == leaf
        assert view["number"] == draw.number(key, 7, index)


@pytest.mark.parametrize(
    "query", ["count=0", "count=4097", "start=-1", "start=x", "begin=1", "start=99999999999999"]
)
async def test_a_roster_is_asked_for_in_pieces(line: LineEdge, query: str) -> None:
    answer = await line.edge.call("GET", f"{line.url}/roster?{query}")
    assert (answer.status, answer.code) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", ""),
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/enter"),
        ("POST", "/ticket"),
        ("GET", "/serving"),
        ("GET", "/draw"),
        ("GET", "/roster"),
    ],
)
async def test_what_is_not_published_has_no_line(line: LineEdge, method: str, path: str) -> None:
    url = f"/v1/occurrences/{'0' * 32}/queue{path}"
    answer = await line.edge.call(method, url, headers=await line.edge.guest())
    assert (answer.status, answer.code) == (404, "occurrence_unknown")
