"""The control API: for those with the service token, and everything is recorded with who did it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import aiohttp
import msgspec
import orjson
import pytest
from aiohttp import web
from openapi_spec_validator import validate
from redis.asyncio import Redis

from engine.app.control import CONTROL_ROUTES, control_openapi, make_control_app
from engine.app.routes import ROUTES
from engine.core.settings import Settings
from engine.platform.http.openapi import openapi
from engine.platform.valkey import keys
from engine.queue.documents import QueueRecord
from tests.http.lines import LINES, LineEdge, running_line
from tests.http.running import SHARD, Answer

TOKEN = "a service token of at least 32 characters"
ADA = {"Authorization": f"Bearer {TOKEN}", "X-Actor": "ada@example.org"}


class Control:
    """A running control API, beside the edge of the same line."""

    def __init__(self, line: LineEdge, url: str, session: aiohttp.ClientSession) -> None:
        self.line = line
        self.url = url
        self._session = session
        self.queue = f"/control/v1/occurrences/{line.edge.snapshot.occurrence}/queue"

    async def call(
        self, method: str, path: str, *, json: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        sent = dict(ADA if headers is None else headers)
        if json is not None:
            sent["Content-Type"] = "application/json"
        body = None if json is None else orjson.dumps(json)
        async with self._session.request(
            method, self.url + path, data=body, headers=sent
        ) as response:
            return Answer(response.status, response.headers, await response.read())

    async def step(self, step: str) -> Any:
        answer = await self.call("POST", f"{self.queue}/{step}")
        assert answer.status == 200, answer
        return answer.json

    async def state_of(self, figure: str) -> Any:
        return (await self.call("GET", self.queue)).json[figure]

    async def records(self) -> list[QueueRecord]:
        entries: Any = await self.line.edge.redis.xrange(keys.stream(SHARD))
        return [
            msgspec.msgpack.decode(fields[b"q"], type=QueueRecord)
            for _, fields in entries
            if fields.get(b"k") == b"queue.command"
        ]


@pytest.fixture
async def control(edge_settings: Settings, redis_client: Redis) -> AsyncIterator[Control]:
    settings = replace(edge_settings, door_difficulty=0, control_token=TOKEN)
    async with AsyncExitStack() as stack:
        line = await stack.enter_async_context(running_line(settings, redis_client))
        runner = web.AppRunner(make_control_app(settings), access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield Control(line, url, line.edge.session)


async def test_all_figures_are_told(control: Control) -> None:
    buyer, _ = await control.line.join()
    for _ in range(2):
        await control.line.join()
    await control.line.open()
    await control.line.call(2)
    answer = await control.call("GET", control.queue)
    assert answer.status == 200
    told = answer.json
    assert (told["phase"], told["on"], told["paused"]) == ("open", True, False)
    assert (told["places"], told["drawn"], told["serving"], told["called"]) == (3, 3, 2, 2)
    assert (told["inside"], told["cap"], told["rate"]) == (0, 500, 1_000_000)
    view = await control.line.look(buyer)
    if view["state"] != "called":
        await control.line.call(1)
    assert (await control.line.enter(buyer)).status == 200
    told = (await control.call("GET", control.queue)).json
    assert (told["inside"], told["entered"]) == (1, 1)


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer x", f"Basic {TOKEN}", TOKEN, "Bearer é"],
)
@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("PATCH", ""), ("POST", "/pause")])
async def test_without_the_token_nothing_is_told_or_done(
    control: Control, method: str, path: str, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = await control.call(
        method, control.queue + path, json={"rate": 5}, headers={**headers, "X-Actor": "eve"}
    )
    assert (answer.status, answer.code) == (401, "unauthorized")
    assert not await control.records()


async def test_a_buyers_token_is_no_service_token(control: Control) -> None:
    buyer = await control.line.edge.guest()
    answer = await control.call("GET", control.queue, headers=buyer)
    assert answer.status == 401


async def test_buyers_do_not_reach_it(control: Control) -> None:
    answer = await control.line.edge.call("GET", control.queue, headers=ADA)
    assert (answer.status, answer.code) == (404, "path_unknown")


@pytest.mark.parametrize("actor", [None, "", " ", "ada lovelace", "é", "x" * 101])
@pytest.mark.parametrize(("method", "path"), [("PATCH", ""), ("POST", "/drain")])
async def test_who_does_it_must_be_said(
    control: Control, method: str, path: str, actor: str | None
) -> None:
    headers = {name: value for name, value in ADA.items() if name != "X-Actor"}
    if actor is not None:
        headers["X-Actor"] = actor
    answer = await control.call(method, control.queue + path, json={"rate": 5}, headers=headers)
    assert (answer.status, answer.code) == (400, "actor_invalid")
    assert not await control.records()


async def test_every_command_is_recorded_with_who_did_it(control: Control) -> None:
    for step in ("pause", "resume", "drain", "close", "open", "off", "on"):
        await control.step(step)
    await control.call("PATCH", control.queue, json={"rate": 7, "cap": 9})
    records = await control.records()
    assert [record.command for record in records] == [
        *("pause", "resume", "drain", "close", "open", "off", "on", "set")
    ]
    assert {record.actor for record in records} == {"ada@example.org"}
    assert records[-1].values == {"rate": 7, "cap": 9}


async def test_commands_take_effect_at_once(control: Control) -> None:
    assert (await control.step("pause"))["paused"] is True
    assert (await control.call("GET", control.queue)).json["paused"] is True
    assert (await control.step("resume"))["paused"] is False
    opened = await control.step("open")
    assert (opened["phase"], opened["drawn"]) == ("open", 0)
    assert (await control.step("drain"))["phase"] == "draining"
    refused = await control.line.edge.call(
        "POST", control.line.url, headers=await control.line.edge.guest()
    )
    assert (refused.status, refused.json["reason"]) == (409, "draining")
    assert (await control.step("close"))["phase"] == "closed"
    assert (await control.step("open"))["phase"] == "open"
    assert (await control.step("off"))["on"] is False
    held = await control.line.edge.hold(await control.line.edge.guest(), *LINES)
    assert held.status == 201
    assert (await control.step("on"))["on"] is True
    held = await control.line.edge.hold(await control.line.edge.guest(), *LINES)
    assert held.code == "not_inside"


async def test_a_command_to_a_room_that_is_off_is_a_conflict(control: Control) -> None:
    await control.step("off")
    answer = await control.call("POST", f"{control.queue}/drain")
    assert (answer.status, answer.code) == (409, "conflict")


async def test_rate_cap_and_times_can_be_changed(control: Control) -> None:
    change = {"rate": 3, "rate_ms": 2_000, "cap": 4, "claim_ms": 5_000, "shop_ms": 6_000}
    answer = await control.call("PATCH", control.queue, json=change)
    assert answer.status == 200
    assert {name: answer.json[name] for name in change} == change
    assert (await control.state_of("rate"), await control.state_of("cap")) == (3, 4)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"rate": 0},
        {"rate": -1},
        {"rate": 1_000_001},
        {"rate": "5"},
        {"rate": None},
        {"rate": 1.5},
        {"cap": 0},
        {"claim_ms": 3_600_001},
        {"shop_ms": 86_400_001},
        {"served": 5},
        {"phase": "open"},
        [],
    ],
    ids=str,
)
async def test_what_cannot_be_changed_so_is_refused_whole(control: Control, change: Any) -> None:
    answer = await control.call("PATCH", control.queue, json=change)
    assert (answer.status, answer.code) == (400, "invalid_request")
    assert not await control.records()


@pytest.mark.parametrize("path", ["/start", "/OPEN", "/", "/open/now"])
async def test_a_step_that_does_not_exist_is_no_path(control: Control, path: str) -> None:
    answer = await control.call("POST", control.queue + path)
    assert (answer.status, answer.code) == (404, "path_unknown")


async def test_what_is_not_published_is_404(control: Control) -> None:
    nowhere = f"/control/v1/occurrences/{'0' * 32}/queue"
    for method, path in (("GET", ""), ("PATCH", ""), ("POST", "/pause"), ("POST", "/drain")):
        answer = await control.call(
            method, nowhere + path, json={"rate": 5} if method == "PATCH" else None
        )
        assert (answer.status, answer.code) == (404, "occurrence_unknown")


async def test_it_has_health_metrics_and_a_description(control: Control) -> None:
    for path in ("/health/live", "/health/ready", "/metrics", "/docs"):
        assert (await control.call("GET", path, headers={})).status == 200, path
    answer = await control.call("GET", "/openapi.json", headers={})
    assert answer.raw == control_openapi()
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    await control.call("GET", control.queue)
    metrics = (await control.call("GET", "/metrics", headers={})).raw.decode()
    assert 'onsale_http_requests_total{route="read_line",status="200"} 1.0' in metrics


def test_its_description_is_valid_and_names_token_and_actor() -> None:
    document = orjson.loads(control_openapi())
    validate(document)
    assert document["components"]["securitySchemes"] == {
        "service": {"type": "http", "scheme": "bearer"}
    }
    for path, item in document["paths"].items():
        for method, operation in item.items():
            secured = operation.get("security") == [{"service": []}]
            assert secured == path.startswith("/control/"), path
            headers = [p["name"] for p in operation["parameters"] if p["in"] == "header"]
            assert ("X-Actor" in headers) == (secured and method != "get")
    assert "service" not in openapi(ROUTES)["components"]["securitySchemes"]
    assert not {route.path for route in ROUTES} & {
        route.path for route in CONTROL_ROUTES if route.service
    }
