"""Holds that are refused for what was not bought, for want of a pass, or for a rule: over HTTP.

On the fast path and through the application alike: the answers are the same.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from engine.core.settings import Settings
from engine.core.tokens import Claims
from engine.platform.http.state import METRICS, SIGNER
from engine.platform.valkey import keys
from engine.sale.holds.fast_path import HotHolds
from engine.sale.inventory.publication import republish
from tests.clocks import put_clock_ahead
from tests.http.lines import LINES, LineEdge, running_line
from tests.http.running import HOUR_MS, SHARD, Answer, Edge, key, running_edge

PAIR = {"ticket_type": "standing", "quantity": 2}
CLOSE = {"Connection": "close"}  # such a request goes through the application
WAYS = [{}, CLOSE]


@pytest.fixture(params=WAYS, ids=["fast path", "application"])
async def way(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[dict[str, str]]:
    """Headers of a way that requests take; afterwards, they must have taken it."""
    taken: list[str] = []
    begin = HotHolds.begin

    def counted(self: HotHolds, *arguments: Any) -> None:
        taken.append("fast path")
        begin(self, *arguments)

    monkeypatch.setattr(HotHolds, "begin", counted)
    yield request.param
    assert bool(taken) == (request.param == {})


async def hold(edge: Edge, buyer: dict[str, str], way: dict[str, str]) -> Answer:
    return await edge.hold({**buyer, **way}, PAIR)


async def drop(edge: Edge, hold_id: str, buyer: dict[str, str], ms: int = 420_000) -> None:
    """Let so much time go by, and give the hold back."""
    place = keys.prefix(SHARD, edge.snapshot.occurrence)
    ahead = edge.headers.get("ahead", "0")
    edge.headers["ahead"] = str(int(ahead) + ms - 1_000)
    await put_clock_ahead(edge.redis, place, int(edge.headers["ahead"]))
    answer = await edge.call("DELETE", f"{edge.occurrence}/holds/{hold_id}", headers=buyer)
    assert answer.status == 204, answer


async def test_the_pause_is_a_429_that_says_when(edge: Edge, way: dict[str, str]) -> None:
    buyer = await edge.guest()
    for _ in range(2):
        answer = await hold(edge, buyer, way)
        assert answer.status == 201, answer
        await drop(edge, answer.json["id"], buyer)
    refused = await hold(edge, buyer, way)
    assert (refused.status, refused.code) == (429, "hold_pause")
    wait_ms = refused.json["retry_in_ms"]
    assert 30_000 < wait_ms <= 60_000
    assert int(refused.headers["Retry-After"]) == -(-wait_ms // 1000)
    assert refused.json["whose"] == "buyer"
    counted = 'onsale_http_requests_total{route="create_hold",status="429"} 1.0'
    assert counted in edge.app[METRICS].exposition().decode()
    assert (await hold(edge, await edge.guest(), way)).status == 201


async def test_the_pause_can_be_set_and_switched_off(
    edge_settings: Settings, redis_client: Redis, edge: Edge
) -> None:
    for pause_s, status in ((0, 201), (7_200, 429)):
        settings = replace(edge_settings, hold_pause_s=pause_s, hold_pause_max_s=5_000)
        async with running_edge(settings, redis_client, edge.snapshot) as other:
            other.headers = edge.headers
            buyer = await other.guest()
            for _ in range(2):
                answer = await other.hold(buyer, PAIR)
                assert answer.status == 201, answer
                await drop(other, answer.json["id"], buyer)
            answer = await other.hold(buyer, PAIR)
            assert answer.status == status, answer
    assert 4_900 < int(answer.headers["Retry-After"]) <= 5_000


def claims_of(edge: Edge, buyer: dict[str, str]) -> Claims:
    return edge.app[SIGNER].verify(buyer["Authorization"].removeprefix("Bearer "))


async def test_a_guest_is_of_the_network_that_they_were_made_from(
    edge_settings: Settings, redis_client: Redis, edge: Edge
) -> None:
    assert claims_of(edge, await edge.guest()).net is None  # this machine has no network
    settings = replace(edge_settings, trusted_proxies="127.0.0.0/8")
    async with running_edge(settings, redis_client, edge.snapshot) as behind:
        found = []
        for address in ("203.0.113.7", "203.0.113.99", "198.51.100.7"):
            sent = {**key(), "X-Forwarded-For": address}
            answer = await behind.call("POST", "/v1/guests", headers=sent)
            token = {"Authorization": f"Bearer {answer.json['token']}"}
            found.append(claims_of(behind, token).net)
    assert found[0] == found[1] != found[2]
    assert None not in found


async def test_fresh_guests_of_one_network_wait_for_what_is_short(
    edge_settings: Settings, redis_client: Redis, edge: Edge, way: dict[str, str]
) -> None:
    settings = replace(edge_settings, trusted_proxies="127.0.0.0/8", hold_network_free=1)

    async def guest(behind: Edge, address: str) -> dict[str, str]:
        sent = {**key(), "X-Forwarded-For": address}
        answer = await behind.call("POST", "/v1/guests", headers=sent)
        return {"Authorization": f"Bearer {answer.json['token']}"}

    async with running_edge(settings, redis_client, edge.snapshot) as behind:
        first = await behind.hold(
            {**(await guest(behind, "192.0.2.1")), **way}, {**PAIR, "quantity": 10}
        )
        assert first.status == 201
        second = await guest(behind, "192.0.2.2")
        assert (await behind.hold({**second, **way}, {**PAIR, "quantity": 1})).status == 201
        for i in range(2):
            buyer = await guest(behind, f"203.0.113.{i}")
            answer = await hold(behind, buyer, way)
            assert answer.status == 201, answer
            await drop(behind, answer.json["id"], buyer, 200_000 + 200_000 * i)
        # the first two have run out meanwhile: stock is short again when others take it
        third = await guest(behind, "192.0.2.3")
        assert (await behind.hold({**third, **way}, {**PAIR, "quantity": 10})).status == 201
        fourth = await guest(behind, "192.0.2.4")
        assert (await behind.hold({**fourth, **way}, {**PAIR, "quantity": 1})).status == 201
        refused = await hold(behind, await guest(behind, "203.0.113.200"), way)
        assert (refused.status, refused.code) == (429, "hold_pause")
        assert refused.json["whose"] == "network"
        assert (await hold(behind, await guest(behind, "198.51.100.1"), way)).status == 201


@pytest.fixture
async def line(edge_settings: Settings, redis_client: Redis) -> AsyncIterator[LineEdge]:
    settings = replace(edge_settings, door_difficulty=0)
    async with running_line(settings, redis_client, opens_in_ms=HOUR_MS // 4) as one:
        yield one


async def test_adding_without_a_pass_is_refused_as_holding_is(
    line: LineEdge, way: dict[str, str]
) -> None:
    edge, buyer = line.edge, await line.edge.guest()
    await line.command("off")
    held = await hold(edge, buyer, way)
    assert held.status == 201, held
    await line.command("on")
    path = f"{edge.occurrence}/holds/{held.json['id']}"
    new = await edge.hold({**await edge.guest(), **way}, *LINES)
    added = await edge.call("PATCH", path, json={"add": LINES}, headers=buyer)
    remove = [{"ticket_type": "standing", "quantity": 1}]
    swapped = await edge.call(
        "PATCH",
        path,
        json={"add": [{"ticket_type": "stalls", "quantity": 1}], "remove": remove},
        headers=buyer,
    )
    for answer in (new, added, swapped):
        assert (answer.status, answer.code) == (409, "not_inside")
    assert added.json["title"] == new.json["title"]
    removed = await edge.call("PATCH", path, json={"remove": remove}, headers=buyer)
    assert removed.status == 200, removed
    extended = await edge.call("POST", f"{path}/extend", headers={**buyer, **key()})
    assert extended.status == 200, extended
    bought = await check_out(edge, path, buyer)
    assert bought.status == 201, bought


async def check_out(edge: Edge, path: str, buyer: dict[str, str]) -> Answer:
    body = {"email": "ada@example.org", "name": "Ada"}
    return await edge.call("POST", f"{path}/checkout", json=body, headers={**buyer, **key()})


async def test_what_remains_and_what_is_checked_out_has_the_minimum(
    edge: Edge, redis_client: Redis
) -> None:
    buyer = await edge.guest()
    path = f"{edge.occurrence}/holds/{(await hold(edge, buyer, {})).json['id']}"
    kinds = list(edge.snapshot.ticket_types)
    kinds[2] = msgspec.structs.replace(kinds[2], min_per_order=2)
    await republish(redis_client, msgspec.structs.replace(edge.snapshot, ticket_types=tuple(kinds)))
    refused = await edge.call(
        "PATCH",
        path,
        json={"remove": [{"ticket_type": "standing", "quantity": 1}]},
        headers=buyer,
    )
    assert (refused.status, refused.code) == (409, "lines_unavailable")
    assert refused.json["lines"] == [{"line": 0, "code": "below_minimum", "limit": 2}]
    kinds[2] = msgspec.structs.replace(kinds[2], min_per_order=3)
    await republish(redis_client, msgspec.structs.replace(edge.snapshot, ticket_types=tuple(kinds)))
    refused = await check_out(edge, path, buyer)
    assert (refused.status, refused.code) == (409, "lines_unavailable")
    assert refused.json["lines"] == [{"line": 0, "code": "below_minimum", "limit": 3}]
    added = await edge.call("PATCH", path, json={"add": LINES}, headers=buyer)
    assert added.status == 200, added
    assert (await check_out(edge, path, buyer)).status == 201
