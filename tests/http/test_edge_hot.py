"""The lean way for holds: taken only when it may be, never told apart from the application."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from engine.platform.http.fast_path import answers as hot_answers
from engine.platform.http.fast_path import connection as hot
from engine.platform.valkey.codes import Code
from engine.platform.valkey.errors import StoreUnavailableError
from engine.platform.valkey.lane import Group
from engine.platform.valkey.packing import pack
from engine.sale.holds import fast_path as hot_holds
from engine.sale.inventory.inspection import iter_holds
from engine.sale.state import SALE
from tests.http.running import SHARD, Edge, eventually, key

LINES = [{"ticket_type": "standing", "quantity": 1}]
BODY = orjson.dumps({"lines": LINES})


@pytest.fixture
async def taken(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that went the lean way; the occurrence is at hand already."""
    await edge.app[SALE].known.get(edge.snapshot.occurrence)
    paths: list[str] = []
    begin = hot_holds.HotHolds.begin

    def counted(self: hot_holds.HotHolds, *request: Any) -> None:
        paths.append(request[1].path)
        begin(self, *request)

    monkeypatch.setattr(hot_holds.HotHolds, "begin", counted)
    return paths


class Wire:
    """A bare connection, so that bytes can be sent as one likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def answer(self) -> tuple[int, Any]:
        async with asyncio.timeout(10):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
            length = next(
                int(line.split(":")[1])
                for line in head.splitlines()
                if line.lower().startswith("content-length:")
            )
            body = await self._reader.readexactly(length)
        return int(head.split()[1]), orjson.loads(body) if body else None

    async def ended(self) -> bool:
        async with asyncio.timeout(10):
            return await self._reader.read(1) == b""

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


@pytest.fixture
async def wire(edge: Edge) -> AsyncIterator[Wire]:
    made = Wire(*await asyncio.open_connection("127.0.0.1", edge.port))
    yield made
    await made.close()


def request(
    edge: Edge,
    buyer: dict[str, str],
    *,
    body: bytes = BODY,
    version: str = "1.1",
    more: dict[str, str] | None = None,
) -> bytes:
    headers = {
        "Host": "onsale",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        **buyer,
        **key(),
        **(more or {}),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {edge.occurrence}/holds HTTP/{version}\r\n{lines}\r\n".encode() + body


async def test_a_plain_hold_goes_the_lean_way(edge: Edge, wire: Wire, taken: list[str]) -> None:
    for _ in range(3):
        await wire.send(request(edge, await edge.guest()))
        status, hold = await wire.answer()
        assert (status, hold["lines"][0]["quantity"]) == (201, 1)
    assert taken == [f"{edge.occurrence}/holds"] * 3


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"version": "1.0"}, 201),
        ({"more": {"Connection": "close"}}, 201),
        ({"body": b"{" + b" " * 70_000 + b"}"}, 413),
    ],
)
async def test_what_is_not_plain_goes_to_the_application(
    edge: Edge, wire: Wire, taken: list[str], options: dict[str, Any], status: int
) -> None:
    await wire.send(request(edge, await edge.guest(), **options))
    assert (await wire.answer())[0] == status
    assert taken == []


async def test_a_client_that_waits_to_be_told_is_told(
    edge: Edge, wire: Wire, taken: list[str]
) -> None:
    whole = request(edge, await edge.guest(), more={"Expect": "100-continue"})
    await wire.send(whole[: -len(BODY)])
    async with asyncio.timeout(10):
        assert await wire._reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    await wire.send(BODY)
    assert (await wire.answer())[0] == 201
    assert taken == []


async def test_a_request_in_pieces_is_one_request(edge: Edge, wire: Wire, taken: list[str]) -> None:
    whole = request(edge, await edge.guest())
    for at in range(0, len(whole), 97):
        await wire.send(whole[at : at + 97])
        await asyncio.sleep(0)
    assert (await wire.answer())[0] == 201
    await wire.send(request(edge, await edge.guest()))  # and the connection is as good as before
    assert (await wire.answer())[0] == 201
    assert len(taken) >= 1


@pytest.mark.parametrize("gap", [True, False])
async def test_answers_come_in_the_order_of_their_requests(
    edge: Edge, wire: Wire, taken: list[str], gap: bool
) -> None:
    """Pipelined: holds of several buyers and other requests between them, at once or in pieces."""
    buyers = [await edge.guest() for _ in range(6)]
    sent = b""
    for number, buyer in enumerate(buyers):
        sent += request(edge, buyer, more={"X-Request-Id": f"hold-{number:04d}"})
        sent += b"GET /health/live HTTP/1.1\r\nHost: onsale\r\n\r\n"
    if gap:
        first = len(request(edge, buyers[0], more={"X-Request-Id": "hold-0000"}))
        await wire.send(sent[:first])
        while not taken:  # noqa: ASYNC110 - it is on the other side of a connection
            await asyncio.sleep(0)
        sent = sent[first:]
    await wire.send(sent)
    for _ in buyers:
        status, hold = await wire.answer()
        assert (status, hold["state"]) == (201, "held")
        status, live = await wire.answer()
        assert (status, "state" in live) == (200, False)
    assert len(taken) <= 1 if not gap else len(taken) >= 1


async def test_a_body_that_looks_like_a_request_is_a_body(
    edge: Edge, wire: Wire, taken: list[str]
) -> None:
    """No smuggling: bytes that another request has announced as its body are never a request."""
    inner = request(edge, await edge.guest())
    outer = (
        f"POST /v1/guests HTTP/1.1\r\nHost: onsale\r\nContent-Type: application/json\r\n"
        f"Idempotency-Key: 0123456789abcdef\r\nContent-Length: {len(inner)}\r\n\r\n"
    ).encode()
    await wire.send(outer)
    # The head must have been read on its own before the body comes: an answer on another
    # connection shows that the server's loop has turned since.
    assert (await edge.call("GET", "/health/live")).status == 200
    await wire.send(inner)
    status, problem = await wire.answer()
    assert (status, problem["code"]) == (400, "invalid_request")
    assert taken == []


async def test_a_buyer_who_hangs_up_has_the_hold_all_the_same(edge: Edge, taken: list[str]) -> None:
    buyer = await edge.guest()
    whole = request(edge, buyer)
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    writer.write(whole)
    await writer.drain()
    writer.close()
    del reader

    async def held() -> bool:
        holds = [hold async for hold in iter_holds(edge.redis, SHARD, edge.snapshot.occurrence)]
        return len(holds) == 1

    await eventually(held)
    assert len(taken) == 1
    assert (await edge.hold(buyer, *LINES)).code == "hold_exists"


async def test_a_stop_waits_for_the_answer_that_is_under_way(
    edge: Edge, wire: Wire, taken: list[str]
) -> None:
    await wire.send(request(edge, await edge.guest()))
    while not taken:  # noqa: ASYNC110 - it is on the other side of a connection
        await asyncio.sleep(0)
    stopping = asyncio.create_task(edge.runner.cleanup())
    assert (await wire.answer())[0] == 201
    assert await wire.ended()
    await stopping


async def test_errors_are_those_of_the_application(
    edge: Edge, wire: Wire, taken: list[str]
) -> None:
    buyer = await edge.guest()
    cases: list[tuple[dict[str, Any], int, str]] = [
        ({"body": b"{"}, 400, "invalid_request"),
        ({"body": b'{"lines":[]}'}, 400, "invalid_request"),
        ({"more": {"Idempotency-Key": "short"}}, 400, "idempotency_key_invalid"),
        ({"more": {"Authorization": "Bearer x"}}, 401, "unauthorized"),
        ({"more": {"Content-Type": "text/plain"}}, 415, "unsupported_media_type"),
        (
            {"body": orjson.dumps({"lines": [{"ticket_type": "none", "quantity": 1}]})},
            409,
            "lines_unavailable",
        ),
    ]
    for options, status, code in cases:
        for extra in ({}, {"version": "1.0", "connection": "keep-alive"}):
            more = {**options.get("more", {}), "X-Request-Id": "the-same-id"}
            if extra:
                more["Connection"] = "keep-alive"
            await wire.send(
                request(
                    edge,
                    buyer,
                    body=options.get("body", BODY),
                    version=extra.get("version", "1.1"),
                    more=more,
                )
            )
            found, problem = await wire.answer()
            assert (found, problem["code"]) == (status, code)
    assert len(taken) == len(cases)


async def test_sold_out_is_told_alike_both_ways(edge: Edge, wire: Wire, taken: list[str]) -> None:
    for _ in range(2):
        await edge.hold(await edge.guest(), {"ticket_type": "standing", "quantity": 10})
    buyer = await edge.guest()
    answers = []
    for version in ("1.1", "1.0"):
        more = {"X-Request-Id": "the-same-id", "Connection": "keep-alive"}
        await wire.send(request(edge, buyer, version=version, more=more))
        answers.append(await wire.answer())
    assert answers[0] == answers[1]
    assert (answers[0][0], answers[0][1]["code"]) == (409, "sold_out")
    assert answers[0][1]["lines"] == [{"line": 0, "code": "sold_out", "left": 0}]
    assert len(taken) == 3  # the two that got everything, and one of these


async def test_an_idle_connection_is_closed_and_one_with_a_hold_under_way_is_not(
    edge: Edge, wire: Wire, taken: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiohttp's keep-alive timer sees no request of its own while a hot one is under way."""
    connections: list[Any] = []
    take = hot._Connection._take

    def noted(self: Any, message: Any, payload: Any) -> bool:
        found = take(self, message, payload)
        if found:
            connections.append(self)
            self._next_keepalive_close_time = 0.0
            self._keepalive_handle.cancel()
            self._process_keepalive()  # as if the time had come right now
        return found

    monkeypatch.setattr(hot._Connection, "_take", noted)
    await wire.close()
    wire = Wire(*await asyncio.open_connection("127.0.0.1", edge.port))
    await wire.send(request(edge, await edge.guest()))
    assert (await wire.answer())[0] == 201
    (connection,) = connections
    connection._next_keepalive_close_time = 0.0
    connection._keepalive_handle.cancel()
    connection._process_keepalive()
    assert await wire.ended()
    await wire.close()


async def test_an_answer_that_cannot_be_written_harms_no_other(
    edge: Edge, wire: Wire, taken: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = hot._Connection._write_answer
    failed: list[Any] = []

    def fails_once(self: Any, data: bytes) -> None:
        if not failed:
            failed.append(self)
            raise OSError("no")
        write(self, data)

    monkeypatch.setattr(hot._Connection, "_write_answer", fails_once)
    first, second = await edge.guest(), await edge.guest()
    await wire.send(request(edge, first))
    assert await wire.ended()
    other = Wire(*await asyncio.open_connection("127.0.0.1", edge.port))
    await other.send(request(edge, second))
    assert (await other.answer())[0] == 201
    await other.close()


async def test_a_request_that_was_failed_is_not_answered_again(edge: Edge) -> None:
    """A connection can break between a reply and its delivery: one request, one answer."""
    published = await edge.app[SALE].known.get(edge.snapshot.occurrence)
    for first, second in (("fail", "resolve"), ("resolve", "fail")):
        answers: list[bytes] = []
        group = Group("hold_acquire", published.place)
        group.requests = [[]]
        group.receivers = [
            hot_answers.Pending(
                hot_holds.HotHolds(edge.app),
                published,
                "0" * 32,
                "some-request",
                0.0,
                answers.append,
            )
        ]
        arguments: dict[str, Any] = {
            "fail": StoreUnavailableError(),
            "resolve": pack([[Code.PAUSED]]),
        }
        for step in (first, second):
            getattr(group, step)(arguments[step])
        assert len(answers) == 1
        assert (b"503" if first == "fail" else b"409") in answers[0].splitlines()[0]
