"""Joining and asking for one's place at the connection: the same as by the application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis

from engine.core.ids import new_id
from engine.core.settings import Settings
from engine.core.tokens import TokenSigner
from engine.platform.valkey.packing import pack, unpack
from engine.queue.gate import fast_path as hot_queue
from engine.queue.gate.proof_of_work import make_challenge, proof_keys, solve
from tests.http.lines import LineEdge, receive, running_line
from tests.http.running import Answer, eventually

VARIES = {"ask_in_ms", "request_id", "opens_in_ms", "claim_in_ms", "leave_in_ms"}
BY_THE_APPLICATION = {"Connection": "close"}  # such a request is never answered the lean way


@pytest.fixture
async def line(edge_settings: Settings, redis_client: Redis) -> AsyncIterator[LineEdge]:
    settings = replace(edge_settings, door_difficulty=0)
    async with running_line(settings, redis_client) as one:
        yield one


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The methods of the requests that went the lean way."""
    methods: list[str] = []
    for kind in (hot_queue.HotPlaces, hot_queue.HotJoins):

        def counted(self: Any, *request: Any, begin: Any = kind.begin) -> None:
            methods.append(request[1].method)
            begin(self, *request)

        monkeypatch.setattr(kind, "begin", counted)
    return methods


def plain(answer: Answer) -> tuple[int, dict[str, str], Any]:
    """Return what must be the same both ways."""
    headers = {
        name.lower(): value
        for name, value in answer.headers.items()
        if name.lower() not in {"date", "connection", "x-request-id", "content-length"}
    }
    body = {name: value for name, value in answer.json.items() if name not in VARIES}
    return answer.status, headers, body


async def both_ways(
    line: LineEdge, method: str, headers: dict[str, str], body: Any = None
) -> tuple[Answer, Answer]:
    """Ask at the connection and of the application."""
    lean = await line.edge.call(method, line.url, headers=headers, json=body)
    full = await line.edge.call(
        method, line.url, headers={**headers, **BY_THE_APPLICATION}, json=body
    )
    return lean, full


async def test_joining_and_asking_go_the_lean_way(line: LineEdge, taken: list[str]) -> None:
    buyer, first = await line.join()
    assert (await line.look(buyer))["state"] == first["state"] == "pre-queue"
    assert taken == ["POST", "GET"]


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_the_answers_are_the_same_from_the_pre_queue_to_the_end(
    line: LineEdge, taken: list[str], method: str
) -> None:
    buyers = [(await line.join())[0] for _ in range(3)]
    seen = []

    async def compare() -> None:
        for buyer in buyers:
            taken.clear()
            lean, full = await both_ways(line, method, buyer)
            assert plain(lean) == plain(full)
            assert taken == [method]
            seen.append(lean.json["state"])

    await compare()
    await line.open()
    await line.look(buyers[0])
    await compare()
    await line.call(2)
    await compare()
    numbers = {(await line.look(buyer))["number"]: buyer for buyer in buyers}
    assert (await line.enter(numbers[1])).status == 200
    await compare()
    await line.command("close")

    async def closed() -> bool:
        return bool((await line.look(numbers[3]))["state"] == "closed")

    await eventually(closed)
    await compare()
    assert {"pre-queue", "waiting", "called", "inside", "closed"} <= set(seen)


async def test_refusals_are_the_same(line: LineEdge, redis_client: Redis) -> None:
    stranger = await line.edge.guest()
    for method, headers, body in (
        ("GET", stranger, None),
        ("GET", {}, None),
        ("POST", {}, None),
        ("POST", {"Authorization": "Bearer nonsense"}, None),
        ("POST", stranger, {"challenge": 7}),
        ("POST", stranger, {"unknown": 7}),
    ):
        lean, full = await both_ways(line, method, headers, body)
        assert lean.status >= 400
        assert plain(lean) == plain(full)
    await line.open()
    await line.command("drain")
    lean, full = await both_ways(line, "POST", stranger)
    assert (lean.status, lean.json["reason"]) == (409, "draining")
    assert plain(lean) == plain(full)


async def test_the_door_is_the_same(edge_settings: Settings, redis_client: Redis) -> None:
    settings = replace(edge_settings, door_difficulty=100)
    async with running_line(settings, redis_client) as line:
        buyer = await line.edge.guest()
        lean, full = await both_ways(line, "POST", buyer, {})
        assert (lean.status, lean.code) == (403, "challenge_required")
        assert plain(lean) == plain(full)
        sub = TokenSigner(settings.token_secret).verify(buyer["Authorization"].split()[1]).sub
        challenge = make_challenge(
            proof_keys(settings.token_secret), sub, line.edge.snapshot.occurrence, 4e9, 100
        )
        lean, full = await both_ways(line, "POST", buyer, {"challenge": solve(challenge)})
        assert lean.status == 200
        assert plain(lean) == plain(full)


async def test_whoever_was_called_and_did_not_come_joins_anew(line: LineEdge) -> None:
    buyer, _ = await line.join()
    await line.open()
    await line.call(1)
    await line.edge.redis.delete(f"{line.place}:called")  # as when the time to enter is over
    assert (await line.look(buyer))["state"] == "expired"
    _, again = await line.join(buyer)
    assert (again["state"], again["number"]) == ("waiting", 2)


async def test_budgets_hold_the_lean_way_too(edge_settings: Settings, redis_client: Redis) -> None:
    settings = replace(
        edge_settings,
        door_difficulty=0,
        trusted_proxies="127.0.0.0/8",
        door_address_soft=1,
        door_address_hard=2,
    )
    async with running_line(settings, redis_client) as line:
        for expected in (200, 200, 429):
            buyer = {**await line.edge.guest(), "X-Forwarded-For": "203.0.113.7"}
            answer = await line.edge.call("POST", line.url, headers=buyer)
            assert answer.status == expected, answer
        assert 0 < int(answer.headers["Retry-After"]) <= 600
        other = {**await line.edge.guest(), "X-Forwarded-For": "198.51.100.7"}
        assert (await line.edge.call("POST", line.url, headers=other)).status == 200


async def test_everybody_in_line_is_told_when_nothing_is_left(line: LineEdge) -> None:
    buyers = [(await line.join())[0] for _ in range(3)]
    await line.open()
    connections = [await line.connect(buyer) for buyer in buyers]
    for connection in connections:
        assert not (await receive(connection, "serving"))["sold_out"]
    packed = await line.edge.redis.get(f"{line.place}:stock")
    assert isinstance(packed, bytes)
    stock = unpack(packed)
    for at in range(1, len(stock), 4):  # all of it is sold, as if to those who came before
        stock[at + 2] += stock[at]
        stock[at] = 0
    await line.edge.redis.set(f"{line.place}:stock", pack(stock))
    for connection in connections:
        while not (told := await receive(connection, "serving"))["sold_out"]:
            pass
        assert all(left["left"] == 0 for left in told["left"])
        await connection.close()
    view = await line.look(buyers[0])
    assert (view["sold_out"], view["chance"]) == (True, 0)


async def test_what_is_not_published_goes_on_to_the_application(
    line: LineEdge, taken: list[str]
) -> None:
    url = f"/v1/occurrences/{new_id()}/queue"
    answer = await line.edge.call("GET", url, headers=await line.edge.guest())
    assert (answer.status, answer.code) == (404, "occurrence_unknown")
    assert taken == []
