"""The handshake of live connections: what is no handshake is a clear 4xx, and never a 500."""

from __future__ import annotations

import logging
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.core.settings import Settings
from engine.platform.http.websocket.handshake import _KEY
from engine.sale.state import FEEDS
from tests.http.raw import ask, wire_to
from tests.http.running import Edge, eventually

GOOD = {
    "Host": "x",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def request(
    path: str,
    changes: dict[str, str | None] | None = None,
    *,
    version: str = "1.1",
    more: bytes = b"",
) -> bytes:
    headers = {**GOOD, **(changes or {})}
    lines = b"".join(
        f"{name}: ".encode() + value.encode("utf-8", "surrogateescape") + b"\r\n"
        for name, value in headers.items()
        if value is not None
    )
    return f"GET {path} HTTP/{version}\r\n".encode() + lines + more + b"\r\n"


async def test_a_good_one_is_taken_with_careful_headers(edge: Edge) -> None:
    found = await ask(edge.port, request(f"{edge.occurrence}/live"))
    assert found.status == 101
    assert found.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert found.headers["server"] == "onsale"
    found.careful()


@pytest.mark.parametrize(
    "changes",
    [
        {"Upgrade": "WebSocket"},
        {"Connection": "keep-alive, Upgrade"},
        {"Sec-WebSocket-Protocol": "chat, superchat"},
        {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"},
        {"Content-Length": "0"},
    ],
)
async def test_these_are_good_too(
    edge: Edge, changes: dict[str, str | None], caplog: pytest.LogCaptureFixture
) -> None:
    found = await ask(edge.port, request(f"{edge.occurrence}/live", changes))
    assert found.status == 101
    assert "sec-websocket-protocol" not in found.headers
    assert "sec-websocket-extensions" not in found.headers
    assert not caplog.records


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"Sec-WebSocket-Key": None}, 400, "invalid_request"),
        ({"Sec-WebSocket-Key": ""}, 400, "invalid_request"),
        ({"Sec-WebSocket-Key": "short"}, 400, "invalid_request"),
        ({"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ"}, 400, "invalid_request"),
        ({"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="[:-1]}, 400, "invalid_request"),
        ({"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZSE="}, 400, "invalid_request"),  # 17 bytes
        ({"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25j"}, 400, "invalid_request"),  # 15 bytes
        ({"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZR=="}, 400, "invalid_request"),  # spare bits
        ({"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25-ZQ=="}, 400, "invalid_request"),
        ({"Sec-WebSocket-Key": "dGhlIHNhbXBs ZSBub25jZQ=="}, 400, "invalid_request"),
        ({"Sec-WebSocket-Key": "é" * 24}, 400, "invalid_request"),
        ({"Sec-WebSocket-Key": "\udcff" * 24}, 400, "invalid_request"),
        ({"Sec-WebSocket-Key": "x" * 8_000}, 400, "invalid_request"),
        ({"Sec-WebSocket-Version": None}, 426, "upgrade_required"),
        ({"Sec-WebSocket-Version": "8"}, 426, "upgrade_required"),
        ({"Sec-WebSocket-Version": "0"}, 426, "upgrade_required"),
        ({"Sec-WebSocket-Version": "013"}, 426, "upgrade_required"),
        ({"Sec-WebSocket-Version": "14"}, 426, "upgrade_required"),
        ({"Sec-WebSocket-Version": "13, 8"}, 426, "upgrade_required"),
        ({"Sec-WebSocket-Version": "é"}, 426, "upgrade_required"),
        ({"Upgrade": None}, 426, "upgrade_required"),
        ({"Upgrade": "h2c"}, 426, "upgrade_required"),
        ({"Upgrade": "websocketé"}, 426, "upgrade_required"),
        ({"Connection": None}, 426, "upgrade_required"),
        ({"Connection": "keep-alive"}, 426, "upgrade_required"),
        ({"Connection": "close"}, 426, "upgrade_required"),
        ({"Content-Length": "5"}, 400, "invalid_request"),
        ({"Transfer-Encoding": "chunked"}, 400, "invalid_request"),
    ],
)
async def test_what_is_no_handshake_is_refused_by_the_rules(
    edge: Edge,
    changes: dict[str, str | None],
    status: int,
    code: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    sent = request(f"{edge.occurrence}/live", changes)
    if "Content-Length" in changes:
        sent += b"12345"
    if "Transfer-Encoding" in changes:
        sent += b"5\r\n12345\r\n0\r\n\r\n"
    found = await ask(edge.port, sent)
    assert (found.status, found.code) == (status, code)
    if status == 426:
        assert found.headers["sec-websocket-version"] == "13"
        assert found.headers["upgrade"] == "websocket"
    assert not caplog.records
    assert len(edge.app[FEEDS].sockets) == 0


@pytest.mark.parametrize(
    ("more", "status"),
    [
        (b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", 400),
        (b"Sec-WebSocket-Version: 13\r\n", 426),
        (b"Sec-WebSocket-Key1: x\r\n", 400),
    ],
)
async def test_headers_that_come_twice_are_refused(edge: Edge, more: bytes, status: int) -> None:
    found = await ask(edge.port, request(f"{edge.occurrence}/live", more=more))
    assert found.status == status
    assert found.code


@pytest.mark.parametrize("version", ["1.0", "0.9", "2.0", "1.2"])
async def test_other_versions_of_http_have_no_websockets(edge: Edge, version: str) -> None:
    found = await ask(edge.port, request(f"{edge.occurrence}/live", version=version))
    assert found.status in {400, 426}
    assert found.code


async def test_the_connection_goes_on_after_a_refusal(edge: Edge) -> None:
    async with wire_to(edge.port) as wire:
        wrong = request(f"{edge.occurrence}/live", {"Sec-WebSocket-Key": "x"})
        await wire.send(wrong + b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await wire.answered()).status == 400
        assert (await wire.answered()).status == 200


@given(key=st.text(max_size=40) | st.from_regex(_KEY, fullmatch=True))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_no_key_is_a_500(edge: Edge, key: str) -> None:
    clean = re.sub(r"[\x00-\x1f\x7f]", "", key.encode("utf-8", "replace").decode()).strip()
    found = await ask(edge.port, request(f"{edge.occurrence}/live", {"Sec-WebSocket-Key": clean}))
    assert found.status == (101 if _KEY.fullmatch(clean) else 400)


async def test_an_address_has_a_bound_of_its_own(edge: Edge, edge_settings: Settings) -> None:
    """Of sockets for which nobody signs in; this machine's own addresses have none."""
    sockets = edge.app[FEEDS].sockets
    assert sockets._most_of_one == edge_settings.live_sockets_of_one_max
    async with wire_to(edge.port) as wire:
        await wire.send(request(f"{edge.occurrence}/live"))
        assert (await wire.answered()).status == 101
        assert not sockets._blocks

        async def gone() -> bool:
            return len(sockets) == 0

    await eventually(gone)
    assert logging.getLogger("aiohttp.server").level == logging.NOTSET
