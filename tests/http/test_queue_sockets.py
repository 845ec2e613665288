"""Live connections to a line, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import aiohttp
import pytest
from redis.asyncio import Redis

from engine.core.settings import Settings
from engine.platform.http.state import LIVE_TICKETS, SIGNER
from engine.platform.http.websocket.tickets import TICKET_TTL_S, LiveTickets
from engine.queue.live import feed as queue_live
from engine.queue.state import QUEUE_FEEDS
from tests.http.lines import LineEdge, receive, running_line
from tests.http.running import eventually


@pytest.fixture
def line_settings(edge_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(queue_live, "_LOOK_S", 0.05)
    return replace(edge_settings, door_difficulty=0)


@pytest.fixture
async def line(line_settings: Settings, redis_client: Redis) -> AsyncIterator[LineEdge]:
    async with running_line(line_settings, redis_client) as one:
        yield one


async def refusal(line: LineEdge, ticket: str, **headers: str) -> tuple[int, str]:
    answer = await line.edge.call(
        "GET",
        f"{line.url}/live?ticket={ticket}",
        headers={
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            **headers,
        },
    )
    return answer.status, answer.code


async def until_closed(connection: aiohttp.ClientWebSocketResponse) -> int | None:
    """Return the code with which the server parts."""
    while (message := await connection.receive(timeout=10)).type is aiohttp.WSMsgType.TEXT:
        pass
    assert message.type is aiohttp.WSMsgType.CLOSE, message
    return connection.close_code


async def test_from_the_pre_queue_to_the_inside(line: LineEdge) -> None:
    buyers = [(await line.join())[0] for _ in range(5)]
    connections = [await line.connect(buyer) for buyer in buyers]
    for connection in connections:
        assert (await receive(connection, "serving"))["state"] == "pre-queue"
        assert (await receive(connection, "you"))["state"] == "pre-queue"
    await line.open()
    for connection in connections:
        while not (await receive(connection, "serving"))["drawn"]:
            pass
    numbers = [(await line.look(buyer))["number"] for buyer in buyers]
    assert sorted(numbers) == [1, 2, 3, 4, 5]
    await line.call(2)
    first = [connections[numbers.index(number)] for number in (1, 2)]
    for connection in first:
        you = await receive(connection, "you")
        assert you["state"] == "called"
        assert 0 < you["claim_in_ms"] <= 120_000
    buyer = buyers[numbers.index(1)]
    assert (await line.enter(buyer)).status == 200
    you = await receive(first[0], "you")
    assert you["state"] == "inside"
    assert 0 < you["leave_in_ms"] <= 600_000
    await line.edge.call("DELETE", line.url, headers=buyer)
    assert await until_closed(first[0]) == aiohttp.WSCloseCode.OK
    waiting = connections[numbers.index(5)]
    while (await receive(waiting, "serving"))["serving"] < 2:
        pass
    for connection in connections:
        await connection.close()


async def test_a_ticket_lets_in_once(line: LineEdge) -> None:
    buyer, _ = await line.join()
    ticket = await line.ticket(buyer)
    url = f"{line.edge.url}{line.url}/live?ticket={ticket}"
    tries = await asyncio.gather(
        *(line.edge.session.ws_connect(url) for _ in range(5)), return_exceptions=True
    )
    opened = [one for one in tries if isinstance(one, aiohttp.ClientWebSocketResponse)]
    refused = [one for one in tries if isinstance(one, aiohttp.WSServerHandshakeError)]
    assert (len(opened), [one.status for one in refused]) == (1, [401] * 4)
    assert await refusal(line, ticket) == (401, "unauthorized")
    await opened[0].close()


async def test_an_old_a_foreign_and_a_made_up_ticket_are_refused(line: LineEdge) -> None:
    buyer, _ = await line.join()
    subject = line.edge.app[SIGNER].verify(buyer["Authorization"].removeprefix("Bearer ")).sub
    occurrence = line.edge.snapshot.occurrence
    tickets = line.edge.app[LIVE_TICKETS]
    assert await refusal(line, tickets.issue(subject, "0" * 32)) == (401, "unauthorized")
    assert await refusal(line, "A" * 76) == (401, "unauthorized")
    now = tickets._clock
    old = LiveTickets(Settings().token_secret, clock=lambda: now() - TICKET_TTL_S - 1)
    assert await refusal(line, old.issue(subject, occurrence)) == (401, "unauthorized")


async def test_a_ticket_without_a_place_is_no_use(line: LineEdge) -> None:
    ticket = await line.ticket(await line.edge.guest())
    assert await refusal(line, ticket) == (404, "not_in_queue")


async def test_a_ticket_is_asked_for(line: LineEdge) -> None:
    answer = await line.edge.call("GET", f"{line.url}/live")
    assert (answer.status, answer.code) == (400, "invalid_request")


async def test_a_plain_get_is_told_to_upgrade_and_keeps_its_ticket(line: LineEdge) -> None:
    buyer, _ = await line.join()
    ticket = await line.ticket(buyer)
    answer = await line.edge.call("GET", f"{line.url}/live?ticket={ticket}")
    assert (answer.status, answer.code) == (426, "upgrade_required")
    url = f"{line.edge.url}{line.url}/live?ticket={ticket}"
    async with line.edge.session.ws_connect(url) as connection:
        await receive(connection, "serving")


@pytest.mark.parametrize("origin", ["http://evil.example", "https://127.0.0.1:8080", "null", ""])
async def test_only_pages_of_this_site_may_connect(line: LineEdge, origin: str) -> None:
    buyer, _ = await line.join()
    refused = await refusal(line, await line.ticket(buyer), Origin=origin)
    assert refused == (403, "origin_refused")
    connection = await line.connect(buyer, headers={"Origin": "http://127.0.0.1:8080"})
    await connection.close()


async def test_sockets_are_bounded_and_a_ticket_is_not_lost_by_that(
    line_settings: Settings, redis_client: Redis
) -> None:
    settings = replace(line_settings, live_sockets_max=1)
    async with running_line(settings, redis_client) as line:
        buyer, _ = await line.join()
        one = await line.connect(buyer)
        ticket = await line.ticket(buyer)
        assert await refusal(line, ticket) == (503, "overloaded")
        await one.close()

        async def room() -> bool:
            return len(line.edge.app[QUEUE_FEEDS].sockets) == 0

        await eventually(room)
        url = f"{line.edge.url}{line.url}/live?ticket={ticket}"
        async with line.edge.session.ws_connect(url) as connection:
            await receive(connection, "serving")


async def test_a_client_that_talks_is_parted_from(line: LineEdge) -> None:
    buyer, _ = await line.join()
    connection = await line.connect(buyer)
    await receive(connection, "you")
    await connection.send_str("hello")
    assert await until_closed(connection) == aiohttp.WSCloseCode.POLICY_VIOLATION

    async def counted_out() -> bool:
        return len(line.edge.app[QUEUE_FEEDS].sockets) == 0

    await eventually(counted_out)
    assert line.edge.app[QUEUE_FEEDS].of(line.edge.snapshot.occurrence).listeners == 0


async def test_at_the_end_clients_are_told_to_go(
    line_settings: Settings, redis_client: Redis
) -> None:
    async with running_line(line_settings, redis_client) as line:
        buyer, _ = await line.join()
        connection = await line.connect(buyer)
        await receive(connection, "you")
        closing = asyncio.create_task(until_closed(connection))
        await asyncio.sleep(0)
        await line.edge.runner.shutdown()
        assert await closing == aiohttp.WSCloseCode.GOING_AWAY


async def test_figures_are_in_the_metrics(line: LineEdge) -> None:
    buyer, _ = await line.join()
    connection = await line.connect(buyer)
    await line.open()
    await line.call(1)
    await receive(connection, "you")
    await receive(connection, "you")

    async def shown() -> bool:
        text = line.edge.metrics.splitlines()
        found = dict(row.split() for row in text if not row.startswith("#") and " " in row)
        return (
            found["onsale_queue_sockets"] == "1.0"
            and found["onsale_queue_messages_total"] == "1.0"
            and float(found["onsale_queue_broadcasts_total"]) >= 1
            and found["onsale_queue_sockets_dropped_total"] == "0.0"
        )

    await eventually(shown)
    await connection.close()
