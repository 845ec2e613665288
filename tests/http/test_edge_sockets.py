"""Live connections over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import replace
from typing import Any

import aiohttp
import orjson
import pytest
from redis.asyncio import Redis

from engine.core.settings import Settings
from engine.platform.http.websocket import feeds as live_feeds
from engine.platform.http.websocket.broadcast import text_frame
from engine.sale.inventory.publication import publish
from engine.sale.state import FEEDS
from tests.http.running import (
    SHARD,
    Edge,
    SeatMapClient,
    eventually,
    make_snapshot,
    running_edge,
)


async def receive(connection: aiohttp.ClientWebSocketResponse) -> dict[str, Any]:
    message = await connection.receive(timeout=10)
    assert message.type is aiohttp.WSMsgType.TEXT, message
    found: dict[str, Any] = orjson.loads(message.data)
    return found


async def test_a_client_sees_holds_come_and_go(edge: Edge) -> None:
    client = SeatMapClient()
    async with edge.session.ws_connect(f"{edge.url}{edge.occurrence}/live") as connection:
        client.apply(await receive(connection))
        buyer = await edge.guest()
        hold = await edge.hold(
            buyer,
            {"ticket_type": "stalls", "seats": ["Stalls-1-1", "Stalls-3-8"]},
            {"ticket_type": "standing", "quantity": 2},
        )
        while client.sections[0] != b"h.......|........|.......h":
            client.apply(await receive(connection))
        assert client.counts["stalls"]["free"] == 22
        assert client.counts["standing"]["free"] == 18
        known = client.version
        await edge.call("DELETE", f"{edge.occurrence}/holds/{hold.json['id']}", headers=buyer)
        while b"h" in client.sections[0]:
            client.apply(await receive(connection))
        later = (await edge.call("GET", f"{edge.occurrence}/availability")).json
        assert [bytes(section).decode() for section in client.sections] == later["sections"]
        assert client.counts == later["counts"]
    url = f"{edge.url}{edge.occurrence}/live?version={known}"
    async with edge.session.ws_connect(url) as connection:
        message = await receive(connection)
        assert (message["type"], message["from"]) == ("changes", known)
        assert sorted(message["seats"]) == [[0, 0, "."], [0, 25, "."]]


async def test_the_handshake_carries_the_request_id_and_no_compression(edge: Edge) -> None:
    url = f"{edge.url}{edge.occurrence}/live"
    async with edge.session.ws_connect(
        url, compress=15, headers={"X-Request-Id": "the-handshake"}
    ) as connection:
        assert connection.compress == 0
        headers = connection._response.headers
        assert headers["X-Request-Id"] == "the-handshake"
        assert "Sec-WebSocket-Extensions" not in headers


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (None, True),
        ("http://127.0.0.1:8080", True),
        ("http://127.0.0.1:8081", False),
        ("https://127.0.0.1:8080", False),
        ("http://evil.example", False),
        ("null", False),
        ("", False),
    ],
)
async def test_only_pages_of_this_site_may_connect(
    edge: Edge, origin: str | None, allowed: bool
) -> None:
    url = f"{edge.url}{edge.occurrence}/live"
    headers = {} if origin is None else {"Origin": origin}
    if allowed:
        async with edge.session.ws_connect(url, headers=headers) as connection:
            assert (await receive(connection))["type"] == "snapshot"
    else:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await edge.session.ws_connect(url, headers=headers)
        assert refused.value.status == 403


async def test_a_plain_get_is_told_to_upgrade(edge: Edge) -> None:
    answer = await edge.call("GET", f"{edge.occurrence}/live")
    assert (answer.status, answer.code) == (426, "upgrade_required")


@pytest.mark.parametrize("query", ["version=x", "version=-1", "version=", "since=1"])
async def test_a_malformed_version_is_400(edge: Edge, query: str) -> None:
    answer = await edge.call("GET", f"{edge.occurrence}/live?{query}")
    assert (answer.status, answer.code) == (400, "invalid_request")


async def test_a_client_that_talks_is_parted_from(edge: Edge) -> None:
    async with edge.session.ws_connect(f"{edge.url}{edge.occurrence}/live") as connection:
        await receive(connection)
        await connection.send_str("hello")
        message = await connection.receive(timeout=10)
        assert message.type is aiohttp.WSMsgType.CLOSE
        assert connection.close_code == aiohttp.WSCloseCode.POLICY_VIOLATION

    async def counted_out() -> bool:
        return len(edge.app[FEEDS].sockets) == 0

    await eventually(counted_out)


async def test_sockets_are_bounded(edge_settings: Settings, redis_client: Redis) -> None:
    snapshot = make_snapshot()
    await publish(redis_client, snapshot, shard=SHARD)
    settings = replace(edge_settings, live_sockets_max=2)
    async with running_edge(settings, redis_client, snapshot) as edge:
        url = f"{edge.url}{edge.occurrence}/live"
        one, two = await edge.session.ws_connect(url), await edge.session.ws_connect(url)
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await edge.session.ws_connect(url)
        assert refused.value.status == 503
        assert refused.value.headers is not None
        assert refused.value.headers["Retry-After"]
        await one.close()

        async def room() -> bool:
            return len(edge.app[FEEDS].sockets) == 1

        await eventually(room)
        three = await edge.session.ws_connect(url)
        await two.close()
        await three.close()


async def test_a_client_that_does_not_read_is_dropped(edge: Edge) -> None:
    feeds = edge.app[FEEDS]
    with socket.create_connection(("127.0.0.1", edge.port)) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.sendall(
            f"GET {edge.occurrence}/live HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        feed = feeds.of(edge.snapshot.occurrence)

        async def joined() -> bool:
            return feed.listeners == 1

        await eventually(joined)

        async def dropped() -> bool:
            await feed._audience.send(text_frame(b"x" * 100_000))
            return feed.listeners == 0

        await eventually(dropped)
    assert feeds.dropped == 1

    async def counted_out() -> bool:
        return len(feeds.sockets) == 0

    await eventually(counted_out)


async def test_at_the_end_clients_are_told_to_go(
    edge_settings: Settings, redis_client: Redis
) -> None:
    snapshot = make_snapshot()
    await publish(redis_client, snapshot, shard=SHARD)
    async with aiohttp.ClientSession() as session:
        async with running_edge(edge_settings, redis_client, snapshot) as edge:
            connection = await session.ws_connect(f"{edge.url}{edge.occurrence}/live")
            await receive(connection)
            closing = asyncio.create_task(connection.receive(timeout=10))
            await asyncio.sleep(0)
        message = await closing
        assert message.type is aiohttp.WSMsgType.CLOSE
        assert connection.close_code == aiohttp.WSCloseCode.GOING_AWAY


async def test_occurrences_are_read_however_many_are_watched(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One socket each fills what can be watched; the pages of all others are served as before."""
    monkeypatch.setattr(live_feeds, "_WATCHED_MAX", 1)
    other = make_snapshot()
    await publish(edge.redis, other, shard=SHARD)
    async with edge.session.ws_connect(f"{edge.url}{edge.occurrence}/live") as connection:
        await receive(connection)
        path = f"/v1/occurrences/{other.occurrence}"

        async def known() -> bool:
            return (await edge.call("GET", path)).status == 200

        await eventually(known)
        for page in ("", "/availability", "/seat-map"):
            assert (await edge.call("GET", path + page)).status == 200, page
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await edge.session.ws_connect(f"{edge.url}{path}/live")
        assert refused.value.status == 503
        assert (await edge.call("GET", f"{path}/availability")).status == 200
        assert (await edge.call("GET", f"{edge.occurrence}/availability")).status == 200


@pytest.mark.parametrize("kind", [b"\x8a\x80\0\0\0\0", b"\x89\x80\0\0\0\0"], ids=["pongs", "pings"])
async def test_floods_are_cut_off_and_others_are_served_meanwhile(edge: Edge, kind: bytes) -> None:
    head = (
        f"GET {edge.occurrence}/live HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ).encode()

    async def everything(reader: asyncio.StreamReader) -> bytes:
        found = b""
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(65_536):
                found += piece
        return found

    async def flood() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(head)
        await reader.readuntil(b"\r\n\r\n")
        reading = asyncio.create_task(everything(reader))
        writer.write(kind * 43_000)
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        found = await reading
        writer.transport.abort()
        return found

    flooding = [asyncio.create_task(flood()) for _ in range(8)]
    served = 0
    while not all(task.done() for task in flooding):
        served += (await edge.call("GET", "/health/live")).status == 200
    assert served > 0
    for task in flooding:
        assert b"\x88" in task.result()
        assert b"too many frames" in task.result()

    async def counted_out() -> bool:
        return len(edge.app[FEEDS].sockets) == 0

    await eventually(counted_out)
