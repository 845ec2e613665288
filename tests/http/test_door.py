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
from engine.core.settings import Settings
from engine.queue.gate.door import Door
from engine.queue.gate.proof_of_work import CALM_PER_S, COST, FACTOR_MAX, Challenge, solve
from engine.queue.store import read_queue
from engine.sale.inventory.publication import publish
from engine.sale.inventory.snapshot import Room
from engine.sale.state import SALE
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
        challenges_per_buyer=4,
        challenges_per_address=6,
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


async def test_who_joins_under_the_email_of_another_does_not_shut_them_out(edge: Edge) -> None:
    names = [f"ada+{number}@gmail.com" for number in range(10)]
    for email in (*names, "a.d.a@googlemail.com", "Ada@gmail.com", "ada@gmail.com"):
        who = await buyer(edge, email=email)
        assert (await join(edge, who, solve(await challenge(edge, who)))).status == 200


async def test_one_buyer_is_given_so_many_challenges_and_no_more(
    edge: Edge, redis_client: Redis
) -> None:
    who, other = await buyer(edge), await buyer(edge)
    given = [await challenge(edge, who) for _ in range(4)]
    proof = solve(given[0])
    refused = await edge.call("GET", f"{edge.occurrence}/queue/challenge", headers=who)
    assert (refused.status, refused.code) == (429, "too_many_requests")
    assert 0 < int(refused.headers["Retry-After"]) <= 600
    assert (await join(edge, who, proof)).status == 200  # those that they have are good
    await challenge(edge, other)
    for name in await redis_client.keys("*budget*"):
        assert 0 < await redis_client.pttl(name) <= 600_000


async def test_one_network_is_given_so_many_challenges_and_no_more(edge: Edge) -> None:
    async def asked(address: str) -> int:
        answer = await edge.call(
            "GET",
            f"{edge.occurrence}/queue/challenge",
            headers={**await buyer(edge), **through(address)},
        )
        return answer.status

    assert [await asked(f"203.0.113.{n}") for n in range(8)] == [200] * 6 + [429] * 2
    assert [await asked(f"2001:db8:0:{n:x}::1") for n in range(0, 512 * 8, 512)] == (
        [200] * 6 + [429] * 2  # eight /56 of one /48
    )
    assert [await asked(f"2001:db8:1:{n:x}::1") for n in range(4)] == [200] * 2 + [429] * 2
    assert await asked(ELSEWHERE) == 200


async def test_a_flood_of_challenges_makes_nobodys_proof_harder(
    edge: Edge, redis_client: Redis
) -> None:
    url = f"{edge.occurrence}/queue/challenge"
    floods = [await buyer(edge) for _ in range(3)]
    statuses = [(await edge.call("GET", url, headers=floods[n % 3])).status for n in range(300)]
    assert set(statuses) == {200, 429}
    board = await edge.app[SALE].waiting.boards.get(edge.snapshot.occurrence, newest=True)
    assert board.joins_per_s == 0
    who = await buyer(edge)
    assert _counter(await challenge(edge, who)) < 2 * DIFFICULTY / COST


async def test_more_guests_of_an_address_than_its_budget_are_refused(
    edge: Edge, redis_client: Redis
) -> None:
    assert [(await guest(edge, CLIENT)).status for _ in range(3)] == [201] * 3
    kept = await redis_client.dbsize()
    refused = await guest(edge, CLIENT)
    assert (refused.status, refused.code) == (429, "too_many_requests")
    assert 0 < int(refused.headers["Retry-After"]) <= 600
    assert await redis_client.dbsize() == kept
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


@pytest.mark.parametrize(
    ("changes", "address", "budgets"),
    [
        ({}, None, 0),
        ({}, CLIENT, 1),
        ({}, "2001:db8::7", 3),
        ({"door_address_hard": 0}, CLIENT, 0),
    ],
)
def test_what_a_join_takes_from(changes: dict[str, int], address: str | None, budgets: int) -> None:
    door = Door(replace(Settings(), **changes))  # type: ignore[arg-type] # all of them integers
    assert len(door.budgets(address)) == budgets


def test_without_difficulty_no_proof_is_asked() -> None:
    door = Door(replace(Settings(), door_difficulty=0))
    door.check(None, new_id(), new_id())
    solve(door.challenge(new_id(), new_id(), 0))  # who solves it all the same has no trouble


def test_while_very_many_join_it_is_harder() -> None:
    door = Door(replace(Settings(), door_difficulty=COST))
    most = []
    for joins_per_s in (CALM_PER_S / 2, CALM_PER_S * FACTOR_MAX * 2):
        proofs = [door.challenge("0" * 32, "1" * 32, joins_per_s) for _ in range(200)]
        most.append(max(_counter(one) for one in proofs))
    assert most[0] < 2
    assert 2 * FACTOR_MAX * 0.8 < most[1] < 2 * FACTOR_MAX


@pytest.mark.parametrize(
    ("peer", "forwarded", "warned"),
    [
        ("172.18.0.1", [CLIENT], True),
        ("127.0.0.1", [CLIENT], True),
        ("::ffff:10.1.2.3", [CLIENT], True),
        ("fd00::1", [CLIENT], True),
        ("192.0.2.1", [], False),
        ("172.18.0.1", [], False),  # no proxy
        ("10.0.0.1", [CLIENT], False),  # it is named
        ("8.8.8.8", [CLIENT], False),  # anybody may write such a header
        (None, [CLIENT], False),
    ],
)
def test_a_proxy_that_is_not_named_is_told_of_once(
    caplog: pytest.LogCaptureFixture, peer: str | None, forwarded: list[str], warned: bool
) -> None:
    door = Door(replace(Settings(), trusted_proxies="10.0.0.0/16"))
    for _ in range(3):
        door.address(peer, forwarded)
    assert caplog.text.count("ONSALE_TRUSTED_PROXIES") == int(warned)


async def joined_fast(edge: Edge) -> int:
    state = await read_queue(edge.redis, SHARD, edge.snapshot.occurrence)
    return state.queue.joined


async def test_what_makes_it_harder_are_joins_that_nobody_has_too_many_of(
    door_settings: Settings, redis_client: Redis
) -> None:
    settings = replace(door_settings, door_address_soft=2, door_address_hard=9)
    snapshot = make_snapshot(room=Room())
    await publish(redis_client, snapshot, shard=SHARD)
    async with running_edge(settings, redis_client, snapshot) as edge:
        for number in range(4):
            who = await buyer(edge)
            proof = solve(await challenge(edge, who))
            for _ in range(3):  # repeated, it is the same join
                assert (await join(edge, who, proof, CLIENT)).status == 200
            assert await joined_fast(edge) == min(number + 1, 2)
        who = await buyer(edge)
        proof = solve(await challenge(edge, who))
        for _ in range(5):  # one proof for as many places as one likes, given up in between
            await join(edge, who, proof, ELSEWHERE)
            await edge.call("DELETE", f"{edge.occurrence}/queue", headers=who)
        assert await joined_fast(edge) == 2 + 2  # two slips are human


def _counter(one: Challenge) -> int:
    proof = msgspec.json.decode(base64.b64decode(solve(one)))
    counter: int = proof["solution"]["counter"]
    return counter
