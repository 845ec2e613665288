"""What is no request, what never ends, and what nobody reads: bounded, answered by the rules, and
without a trace in the log."""

from __future__ import annotations

import asyncio
import gzip
import logging
import zlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from engine.core.settings import Settings
from engine.platform.http import connections
from engine.platform.http.connections import HEAD_BYTES_MAX, Connection
from engine.sale.inventory.publication import publish
from tests.http.raw import Raw, Wire, ask, wire_to
from tests.http.running import SHARD, Edge, eventually, key, make_snapshot, running_edge

LIVE = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
GUEST = b"POST /v1/guests HTTP/1.1\r\nHost: x\r\nIdempotency-Key: 0123456789abcdef\r\n"
BODY = b'{"email":null}'
JSON = b"Content-Type: application/json\r\n"


@pytest.fixture(autouse=True)
def fresh_log() -> None:
    connections._seldom._next.clear()
    connections._seldom._times.clear()


@pytest.fixture
async def strict(edge_settings: Settings, redis_client: Redis) -> AsyncIterator[Edge]:
    """An edge that has little patience."""
    snapshot = make_snapshot()
    await publish(redis_client, snapshot, shard=SHARD)
    quick = replace(
        edge_settings, http_head_s=0.2, http_body_s=0.2, http_answer_s=0.2, http_idle_s=1.0
    )
    async with running_edge(quick, redis_client, snapshot) as running:
        yield running


def hold_head(edge: Edge, length: int) -> bytes:
    return (
        f"POST {edge.occurrence}/holds HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n"
        "Idempotency-Key: 0123456789abcdef\r\nContent-Type: application/json\r\n"
        "Authorization: Bearer x\r\n\r\n"
    ).encode()


def without_traces(caplog: pytest.LogCaptureFixture, lines: int = 1) -> None:
    assert not [record for record in caplog.records if record.exc_info], caplog.text
    assert not [record for record in caplog.records if record.levelno > logging.WARNING]
    assert len(caplog.records) <= lines, caplog.text


# ---- times ----


@pytest.mark.parametrize(
    "half",
    [
        b"G",
        b"GET /health/live HTTP/1.1\r\n",
        b"GET /health/live HTTP/1.1\r\nHost: x\r\n",
        b"POST /v1/guests HTTP/1.1\r\nHost: x\r\nContent-Len",
        LIVE + b"GET /health/l",
    ],
)
async def test_half_a_head_is_answered_with_408(strict: Edge, half: bytes) -> None:
    async with wire_to(strict.port) as wire:
        if half.startswith(LIVE):  # so that the second head is not in the packet of the first
            await wire.send(LIVE)
            assert (await wire.answered()).status == 200
            half = half.removeprefix(LIVE)
        await wire.send(half)
        found = await wire.answered()
        assert (found.status, found.code) == (408, "request_timeout")
        assert found.headers["connection"] == "close"
        assert await wire.ended()
    assert 'onsale_http_requests_total{route="none",status="408"} 1.0' in strict.metrics


@pytest.mark.parametrize("gap", [0, 1])
async def test_a_head_that_drips_is_bounded_in_total(strict: Edge, gap: int) -> None:
    """However steadily it goes on: not the last byte counts, but the first."""
    head = b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 8_000
    async with wire_to(strict.port) as wire:

        async def drip() -> None:
            for at in range(len(head)):
                if wire.writer.is_closing():
                    return
                wire.writer.write(head[at : at + 1])
                await asyncio.sleep(0.01)

        if gap:
            await wire.send(LIVE)
            assert (await wire.answered()).status == 200
        dripping = asyncio.create_task(drip())
        found = await wire.answered()
        assert found.code == "request_timeout"
        dripping.cancel()
        await asyncio.wait([dripping])


@pytest.mark.parametrize("hot", [False, True])
@pytest.mark.parametrize("drips", [False, True])
async def test_half_a_body_is_answered_with_408(
    strict: Edge, hot: bool, drips: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    buyer = await strict.guest()
    head = GUEST + JSON + b"Content-Length: 4000\r\n\r\n"
    if hot:
        token = buyer["Authorization"].encode()
        head = hold_head(strict, 4_000).replace(b"Bearer x", token)
    async with wire_to(strict.port) as wire:
        await wire.send(head + b"{")

        async def drip() -> None:
            while drips and not wire.writer.is_closing():
                wire.writer.write(b" ")
                await asyncio.sleep(0.01)

        dripping = asyncio.create_task(drip())
        found = await wire.answered()
        assert (found.status, found.code) == (408, "request_timeout")
        dripping.cancel()
        await asyncio.wait([dripping])
        assert await wire.ended()
    without_traces(caplog)


async def test_a_body_that_nobody_reads_does_not_keep_the_connection(strict: Edge) -> None:
    """A GET with a body that never comes: it is answered, and then it ends."""
    async with wire_to(strict.port) as wire:
        await wire.send(LIVE[:-2] + b"Content-Length: 1000\r\n\r\n")
        assert (await wire.answered()).status == 200


def long_answers(count: int) -> bytes:
    return b"GET /docs HTTP/1.1\r\nHost: x\r\n\r\n" * count


async def not_reading(edge: Edge, sent: bytes) -> Wire:
    """Send, and read nothing of the answers, of which the kernel takes little."""
    import socket

    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", edge.port))
    reader, writer = await asyncio.open_connection(sock=raw, limit=1_024)
    writer.transport.pause_reading()  # type: ignore[attr-defined] # it is a reading transport
    writer.write(sent)
    return Wire(reader, writer)


def open_connections(edge: Edge) -> list[Connection]:
    server: Any = edge.runner.server
    return list(server._connections)


@pytest.mark.parametrize("drips", [False, True])
async def test_who_does_not_read_is_cut_off(strict: Edge, drips: bool) -> None:
    wire = await not_reading(strict, long_answers(2_000))

    async def stuck() -> bool:
        server: Any = strict.runner.server
        return any(t.get_write_buffer_size() for t in server._connections.values())

    await eventually(stuck)

    async def sip() -> None:
        while drips:
            wire.writer.transport.resume_reading()  # type: ignore[attr-defined]
            await asyncio.sleep(0.02)
            wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await asyncio.sleep(0.02)

    sipping = asyncio.create_task(sip())

    async def gone() -> bool:
        return not open_connections(strict)

    await eventually(gone, 20)
    sipping.cancel()
    await asyncio.wait([sipping])
    wire.writer.transport.abort()


async def test_who_reads_slowly_but_reads_is_served(strict: Edge) -> None:
    """An answer within its time is never cut, however many come on one connection."""
    async with wire_to(strict.port) as wire:
        for _ in range(40):
            await wire.send(LIVE)
            assert (await wire.answered()).status == 200
            await asyncio.sleep(0.02)  # longer than any of the times, together


async def test_an_idle_connection_ends_without_a_word(strict: Edge) -> None:
    async with wire_to(strict.port) as wire:
        await wire.send(LIVE)
        assert (await wire.answered()).status == 200
        assert await wire.answer() is None


async def test_heads_are_bounded_in_all(edge: Edge) -> None:
    async with wire_to(edge.port) as wire:
        await wire.send(b"GET / HTTP/1.1\r\nHost: x\r\n")
        for number in range(2 * HEAD_BYTES_MAX // 4_000):
            await wire.send(b"X-%d: " % number + b"a" * 4_000 + b"\r\n")
        found = await wire.answered()
        assert (found.status, found.code) == (431, "head_too_large")


# ---- what is no request ----

MALFORMED: dict[str, tuple[bytes, int, str]] = {
    "no request line": (b"hello\r\n\r\n", 400, "invalid_request"),
    "HTTP/0.9": (b"GET /\r\n\r\n", 400, "invalid_request"),
    "no version": (b"GET / HTTP\r\n\r\n", 400, "invalid_request"),
    "another version": (b"GET / HTTP/9.9\r\nHost: x\r\n\r\n", 400, "invalid_request"),
    "unknown method": (b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n", 400, "invalid_request"),
    "method in small letters": (b"get / HTTP/1.1\r\nHost: x\r\n\r\n", 400, "invalid_request"),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 40, 400, "invalid_request"),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "invalid_request"),
    "SSH": (b"SSH-2.0-OpenSSH_9.2\r\n", 400, "invalid_request"),
    "null bytes": (b"\0" * 100, 400, "invalid_request"),
    "null in a header": (b"GET / HTTP/1.1\r\nHost: x\r\nA: a\0b\r\n\r\n", 400, "invalid_request"),
    "null in the target": (b"GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n", 400, "invalid_request"),
    "space before the colon": (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400, "invalid_request"),
    "header without a name": (b"GET / HTTP/1.1\r\nHost: x\r\n: x\r\n\r\n", 400, "invalid_request"),
    "header without a colon": (b"GET / HTTP/1.1\r\nHost: x\r\nabc\r\n\r\n", 400, "invalid_request"),
    "folded header": (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", 400, "invalid_request"),
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", 400, "invalid_request"),
    "two Hosts": (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400, "invalid_request"),
    "long target": (b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, "uri_too_long"),
    "long header": (b"GET / HTTP/1.1\r\nA: " + b"a" * 9_000 + b"\r\n\r\n", 431, "head_too_large"),
    "long name": (b"GET / HTTP/1.1\r\n" + b"a" * 9_000 + b": b\r\n\r\n", 431, "head_too_large"),
    "many headers": (
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        431,
        "head_too_large",
    ),
    "bad length": (GUEST + b"Content-Length: x\r\n\r\n", 400, "invalid_request"),
    "negative length": (GUEST + b"Content-Length: -1\r\n\r\n", 400, "invalid_request"),
    "two lengths": (
        GUEST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        400,
        "invalid_request",
    ),
    "huge length": (GUEST + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n", 400, "invalid_request"),
    "length and chunks": (
        GUEST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        400,
        "invalid_request",
    ),
    "unknown coding": (
        GUEST + b"Transfer-Encoding: gzip\r\n\r\n",
        400,
        "invalid_request",
    ),
    "bad chunk size": (
        GUEST + JSON + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        400,
        "invalid_request",
    ),
    "bad chunk end": (
        GUEST + JSON + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}XX0\r\n\r\n",
        400,
        "invalid_request",
    ),
    "huge chunk": (
        GUEST + JSON + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 40 + b"\r\n{}\r\n0\r\n\r\n",
        400,
        "invalid_request",
    ),
    "absolute target without a host": (
        b"GET http:// HTTP/1.1\r\nHost: x\r\n\r\n",
        400,
        "invalid_request",
    ),
    "asterisk": (b"GET * HTTP/1.1\r\nHost: x\r\n\r\n", 400, "invalid_request"),
}


@pytest.mark.parametrize("name", list(MALFORMED))
async def test_what_is_no_request_is_a_problem_document(
    edge: Edge, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    sent, status, code = MALFORMED[name]
    for _ in range(3):
        found = await ask(edge.port, sent)
        assert (found.status, found.code) == (status, code)
    without_traces(caplog)  # for all three of them
    assert (await ask(edge.port, LIVE)).status == 200


@pytest.mark.parametrize("piece", [1, 7])
@pytest.mark.parametrize("name", ["bad chunk size", "bad chunk end", "null in a header", "TLS"])
async def test_in_pieces_it_is_the_same(edge: Edge, name: str, piece: int) -> None:
    sent, status, code = MALFORMED[name]
    async with wire_to(edge.port) as wire:
        for at in range(0, len(sent), piece):
            await wire.send(sent[at : at + piece])
            await asyncio.sleep(0)
        found = await wire.answered()
        assert (found.status, found.code) == (status, code)
        assert await wire.ended()


@pytest.mark.parametrize("target", ["/", "example.org:443", "x", ":"])
async def test_nobody_is_connected_to_elsewhere(edge: Edge, target: str) -> None:
    found = await ask(edge.port, f"CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert found.status in {400, 404, 405}
    assert found.code


async def test_a_failure_of_the_parser_is_counted(edge: Edge) -> None:
    await ask(edge.port, MALFORMED["TLS"][0])
    assert 'onsale_http_requests_total{route="none",status="400"} 1.0' in edge.metrics


# ---- Expect ----


@pytest.mark.parametrize("expected", ["foo", "100-continued", "200-ok", "100-continue, foo", "é"])
@pytest.mark.parametrize("path", ["/health/live", "/nothing"])
async def test_other_expectations_are_417(
    edge: Edge, expected: str, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    sent = f"GET {path} HTTP/1.1\r\nHost: x\r\nExpect: {expected}\r\n\r\n".encode()
    found = await ask(edge.port, sent)
    assert (found.status, found.code) == (417, "expectation_failed")
    without_traces(caplog)


@pytest.mark.parametrize("expected", [b"100-continue", b"100-Continue"])
async def test_who_wants_to_be_told_to_go_on_is_told(edge: Edge, expected: bytes) -> None:
    async with wire_to(edge.port) as wire:
        await wire.send(
            GUEST + JSON + b"Expect: " + expected + b"\r\nContent-Length: %d\r\n\r\n" % len(BODY)
        )
        async with asyncio.timeout(10):
            told = await wire.reader.readuntil(b"\r\n\r\n")
        assert told == b"HTTP/1.1 100 Continue\r\n\r\n"
        await wire.send(BODY)
        assert (await wire.answered()).status == 201


# ---- Content-Encoding ----


@pytest.mark.parametrize("path", ["guests", "holds", "queue", "webhook"])
@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", b"junk"),
        ("gzip", b""),
        ("gzip", gzip.compress(BODY, mtime=0)),
        ("gzip", gzip.compress(b" " * 10_000_000, mtime=0)),
        ("GZIP", b"junk"),
        ("deflate", zlib.compress(BODY)),
        ("deflate", b"\0junk"),
        ("br", b"junk"),
        ("zstd", b"junk"),
        ("foo", BODY),
        ("identity, gzip", BODY),
        ("é", BODY),
    ],
)
async def test_compressed_bodies_are_415(
    edge: Edge, path: str, coding: str, body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    buyer = await edge.guest()
    target = {
        "guests": "/v1/guests",
        "holds": f"{edge.occurrence}/holds",
        "queue": f"{edge.occurrence}/queue",
        "webhook": "/v1/webhooks/stripe",
    }[path]
    sent = (
        f"POST {target} HTTP/1.1\r\nHost: x\r\nAuthorization: {buyer['Authorization']}\r\n"
        f"Idempotency-Key: 0123456789abcdef\r\nContent-Type: application/json\r\n"
        f"Stripe-Signature: x\r\n"
        f"Content-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    found = await ask(edge.port, sent)
    assert (found.status, found.code) == (415, "unsupported_content_encoding")
    assert found.headers["accept-encoding"] == "identity"
    without_traces(caplog)


async def test_identity_is_no_coding(edge: Edge) -> None:
    answer = await edge.call(
        "POST", "/v1/guests", json={}, headers={**key(), "Content-Encoding": "identity"}
    )
    assert answer.status == 201


# ---- clients that go ----


@pytest.mark.parametrize("abort", [True, False])
@pytest.mark.parametrize(
    "framing", [b"Content-Length: 4000\r\n", b"Transfer-Encoding: chunked\r\n"]
)
async def test_who_goes_in_mid_body_leaves_a_499_and_no_trace(
    edge: Edge, abort: bool, framing: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with wire_to(edge.port) as wire:
        await wire.send(GUEST + JSON + framing + b"\r\n")
        if b"chunked" in framing:
            await wire.send(b"1\r\n{\r\n")

        async def begun() -> bool:
            return any(connection._current_request for connection in open_connections(edge))

        await eventually(begun)
        if abort:
            wire.writer.transport.abort()

    async def counted() -> bool:
        return 'onsale_http_requests_total{route="create_guest",status="499"} 1.0' in edge.metrics

    await eventually(counted)
    without_traces(caplog, 0)
    assert (await ask(edge.port, LIVE)).status == 200


# ---- methods, and the headers of all answers ----


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "PUT", "PATCH", "DELETE", "PURGE"])
@pytest.mark.parametrize("path", ["/health/live", "/v1/guests", "/nothing", "/v1/events"])
async def test_other_methods_are_a_clear_4xx(edge: Edge, method: str, path: str) -> None:
    sent = f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    found = await ask(edge.port, sent, head=method == "HEAD")
    assert found.status == (404 if path == "/nothing" else 405)
    found.careful()
    if found.status == 405:
        assert found.headers["allow"]


async def test_all_answers_have_the_careful_headers(edge: Edge) -> None:
    buyer = (await edge.guest())["Authorization"]
    line = b'{"lines":[{"ticket_type":"standing","quantity":1}]}'
    for _ in range(2):  # 201, and 409 of the hot way
        sent = hold_head(edge, len(line)).replace(b"Bearer x", buyer.encode()) + line
        found = await ask(edge.port, sent)
        found.careful()
        assert found.status == 201
    found = await ask(edge.port, hold_head(edge, len(line)) + line)
    assert (found.status, found.code) == (401, "unauthorized")
    for sent in (
        LIVE,
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n",
    ):
        (await ask(edge.port, sent)).careful()


async def test_hot_answers_are_dated_each_second_anew(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.platform.http.fast_path import answers as hot_answers

    made: list[str] = []

    def dated(**_: Any) -> str:
        made.append(f"number {len(made)} GMT")
        return made[-1]

    monkeypatch.setattr(hot_answers, "formatdate", dated)
    line = b'{"lines":[]}'
    seen = [(await ask(edge.port, hold_head(edge, len(line)) + line)).headers["date"] for _ in "12"]
    assert set(seen) <= set(made)
    answers = hot_answers.HotAnswers(edge.app, "create_hold", 201)
    first, again, later = (answers.date(began) for began in (100.0, 100.9, 101.0))
    assert first == again != later


# ---- anything at all ----

HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("Authorization", "Cookie", "Idempotency-Key", "X-Request-Id", "If-None-Match"),
                *("Content-Type", "X-Forwarded-For", "Origin", "Accept-Encoding", "Range"),
                *("Content-Encoding", "Expect", "Stripe-Signature", "Forwarded", "TE", "Trailer"),
            ]
        ),
        st.binary(max_size=40)
        | st.sampled_from([b"Bearer ", b"Bearer x", b"Bearer a.b.c", b"Basic eDp5", b"gzip", b"*"]),
    ),
    max_size=4,
)
TARGETS = st.sampled_from(
    [
        "/v1/guests",
        "/health/live",
        "/v1/events",
        "{}/holds",
        "{}/queue",
        "{}/live",
        "{}/availability",
    ]
) | st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=30).map("/{}".format)


@given(
    method=st.sampled_from(["GET", "POST", "DELETE", "HEAD", "OPTIONS", "X"]),
    target=TARGETS,
    headers=HEADERS,
    body=st.binary(max_size=60),
)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_nothing_is_a_500_and_nothing_hangs(
    edge: Edge, method: str, target: str, headers: list[tuple[str, bytes]], body: bytes
) -> None:
    path = target.replace("{}", edge.occurrence).encode("latin-1")
    sent = method.encode() + b" " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    for name, value in headers:
        sent += name.encode() + b": " + value + b"\r\n"
    sent += b"Content-Length: %d\r\n\r\n" % len(body) + body
    found = await ask(edge.port, sent, head=method == "HEAD")
    check(found)


@given(sent=st.binary(min_size=1, max_size=200))
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_no_bytes_are_a_500(edge: Edge, sent: bytes) -> None:
    found = await ask(edge.port, sent + b"\r\n\r\n\r\n\r\n")
    check(found)


def check(found: Raw) -> None:
    found.careful()
    assert found.status < 500, found
    if found.status >= 400 and found.body:
        assert found.code


@given(
    token=st.text(max_size=200)
    | st.binary(max_size=200).map(lambda raw: raw.decode("latin-1"))
    | st.integers(0, 200).map(lambda n: "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9." + "x" * n)
    | st.integers(0, 200).map(lambda n: "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"[:n])
    | st.integers(0, 80).map(lambda n: "." * n)
)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_every_token_that_is_none_is_401(edge: Edge, token: str) -> None:
    value = token.encode("utf-8", "replace").translate(None, bytes(range(32)) + b"\x7f").strip()
    for method, path in (("GET", "queue"), ("POST", "holds")):
        sent = f"{method} {edge.occurrence}/{path} HTTP/1.1\r\nHost: x\r\n".encode()
        found = await ask(edge.port, sent + b"Authorization: Bearer " + value + b"\r\n\r\n")
        assert (found.status, found.code) == (401, "unauthorized")
