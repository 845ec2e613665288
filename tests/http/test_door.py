"""The door of the waiting room, at a real edge."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from engine.core.ids import new_id
from engine.core.proof_of_work import CALM_PER_S, COST, FACTOR_MAX, Challenge, solve
from engine.core.snapshot import Room
from engine.core.tokens import Claims
from engine.http.door import Door
from engine.settings import Settings
from engine.store.publication import publish
from tests.http.running import SHARD, Answer, Edge, key, make_snapshot, running_edge

CLIENT, ELSEWHERE = "203.0.113.7", "198.51.100.9"
DIFFICULTY = 1_000


@pytest.fixture
def door_settings(edge_settings: Settings) -> Settings:
    return replace(
        edge_settings,
        door_difficulty=DIFFICULTY,
        trusted_proxies="127.0.0.0/8",
        guests_per_address=3,
        door_address_soft=2,
        door_address_hard=2,
        door_email_soft=1,
        door_email_hard=1,
    )


@pytest.fixture
async def edge(door_settings: Settings, redis_client: Redis) -> AsyncIterator[Edge]:
    """An edge behind a proxy, with a line in front of its sale that is open."""
    snapshot = make_snapshot(room=Room())
    await publish(redis_client, snapshot, shard=SHARD)
    async with running_edge(door_settings, redis_client, snapshot) as running:
        yield running


def through(address: str) -> dict[str, str]:
    return {"X-Forwarded-For": address}


async def guest(edge: Edge, address: str = "127.0.0.1", email: str | None = None) -> Answer:
    body = None if email is None else {"email": email}
    return await edge.call("POST", "/v1/guests", json=body, headers={**key(), **through(address)})


async def buyer(edge: Edge, **values: Any) -> dict[str, str]:
    answer = await guest(edge, **values)
    assert answer.status == 201, answer
    return {"Authorization": f"Bearer {answer.json['token']}"}


async def challenge(edge: Edge, who: dict[str, str]) -> Challenge:
    answer = await edge.call("GET", f"{edge.occurrence}/queue/challenge", headers=who)
    assert answer.status == 200, answer
    assert answer.headers["Cache-Control"] == "no-store"
    return msgspec.json.decode(answer.raw, type=Challenge)


async def join(edge: Edge, who: dict[str, str], proof: str | None, address: str = "") -> Answer:
    return await edge.call(
        "POST",
        f"{edge.occurrence}/queue",
        json={} if proof is None else {"challenge": proof},
        headers={**who, **(through(address) if address else {})},
    )


async def test_joining_takes_a_proof_and_twice_is_once(edge: Edge) -> None:
    who = await buyer(edge)
    refused = await join(edge, who, None)
    assert (refused.status, refused.code) == (403, "challenge_required")
    assert "/queue/challenge" in refused.json["detail"]
    proof = solve(await challenge(edge, who))
    first = await join(edge, who, proof)
    assert first.status == 200, first
    again = await join(edge, who, proof)
    assert again.json["number"] == first.json["number"]


async def test_a_proof_of_another_buyer_is_refused(edge: Edge) -> None:
    proof = solve(await challenge(edge, await buyer(edge)))
    answer = await join(edge, await buyer(edge), proof)
    assert (answer.status, answer.code) == (403, "challenge_required")


async def test_a_challenge_needs_a_buyer_and_an_occurrence(edge: Edge) -> None:
    nobody = await edge.call("GET", f"{edge.occurrence}/queue/challenge")
    assert (nobody.status, nobody.code) == (401, "unauthorized")
    unknown = await edge.call(
        "GET", f"/v1/occurrences/{new_id()}/queue/challenge", headers=await buyer(edge)
    )
    assert (unknown.status, unknown.code) == (404, "occurrence_unknown")


async def test_more_of_an_address_than_its_budget_are_told_when_to_come_back(edge: Edge) -> None:
    async def joined(address: str) -> Answer:
        who = await buyer(edge)
        return await join(edge, who, solve(await challenge(edge, who)), address)

    assert [(await joined(CLIENT)).status for _ in range(2)] == [200, 200]
    refused = await joined("203.0.113.99")  # the same block
    assert (refused.status, refused.code) == (429, "too_many_requests")
    assert 0 < int(refused.headers["Retry-After"]) <= 600
    assert (await joined(ELSEWHERE)).status == 200


async def test_more_of_an_email_than_its_budget_are_refused(edge: Edge) -> None:
    first = await buyer(edge, email="ada@gmail.com")
    assert (await join(edge, first, solve(await challenge(edge, first)))).status == 200
    second = await buyer(edge, email="A.da+2@googlemail.com")
    refused = await join(edge, second, solve(await challenge(edge, second)))
    assert (refused.status, refused.code) == (429, "too_many_requests")


async def test_more_guests_of_an_address_than_its_budget_are_refused(
    edge: Edge, redis_client: Redis
) -> None:
    assert [(await guest(edge, CLIENT)).status for _ in range(3)] == [201] * 3
    kept = len(await redis_client.keys("*guest*"))
    refused = await guest(edge, CLIENT)
    assert (refused.status, refused.code) == (429, "too_many_requests")
    assert 0 < int(refused.headers["Retry-After"]) <= 600
    assert len(await redis_client.keys("*guest*")) == kept
    assert (await guest(edge, ELSEWHERE)).status == 201


async def test_this_machines_own_address_has_no_budget(edge: Edge) -> None:
    assert {(await guest(edge)).status for _ in range(10)} == {201}


async def test_a_stranger_who_names_another_address_is_not_believed(
    door_settings: Settings, redis_client: Redis
) -> None:
    settings = replace(door_settings, trusted_proxies="192.0.2.0/24")
    snapshot = make_snapshot()
    await publish(redis_client, snapshot, shard=SHARD)
    async with running_edge(settings, redis_client, snapshot) as edge:
        assert {(await guest(edge, CLIENT)).status for _ in range(10)} == {201}  # it is loopback
    assert not await redis_client.keys("*budget*")


def claims(email: str | None = None) -> Claims:
    return Claims(sub=new_id(), kind="guest", exp=1, jti=new_id(), email=email)


@pytest.mark.parametrize(
    ("changes", "email", "address", "budgets"),
    [
        ({}, None, None, 0),
        ({}, None, CLIENT, 1),
        ({}, "a@example.org", CLIENT, 2),
        ({"door_address_hard": 0}, "a@example.org", CLIENT, 1),
        ({"door_email_hard": 0}, "a@example.org", CLIENT, 1),
    ],
)
def test_what_a_join_takes_from(
    changes: dict[str, int], email: str | None, address: str | None, budgets: int
) -> None:
    door = Door(replace(Settings(), **changes))  # type: ignore[arg-type] # all of them integers
    assert len(door.budgets(claims(email), address)) == budgets


def test_without_difficulty_no_proof_is_asked() -> None:
    door = Door(replace(Settings(), door_difficulty=0))
    door.check(None, new_id(), new_id())
    solve(door.challenge(new_id(), new_id()))  # who solves it all the same has no trouble


def test_while_very_many_ask_it_is_harder() -> None:
    now_s = [1_000.0]
    door = Door(replace(Settings(), door_difficulty=COST), clock=lambda: now_s[0])
    most = []
    for per_second in (CALM_PER_S / 2, CALM_PER_S * FACTOR_MAX * 2):
        proofs = []
        for _ in range(int(per_second) * 6):
            now_s[0] += 1 / per_second
            proofs.append(door.challenge("0" * 32, "1" * 32))
        most.append(max(_counter(one) for one in proofs[-200:]))
    assert most[0] < 2
    assert 2 * FACTOR_MAX * 0.8 < most[1] < 2 * FACTOR_MAX


def _counter(one: Challenge) -> int:
    proof = msgspec.json.decode(base64.b64decode(solve(one)))
    counter: int = proof["solution"]["counter"]
    return counter
