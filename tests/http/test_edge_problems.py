"""Whatever is sent, a problem document says what is wrong with it, and nothing changes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import orjson
import pytest
from aiohttp import web
from redis.asyncio import Redis

from engine.core.settings import Settings
from engine.core.tokens import TokenSigner
from engine.platform.http.errors import PathUnknownError
from engine.platform.http.problems import problem_response, retry_after_s
from engine.platform.valkey.errors import OverloadedError
from engine.sale.errors import SalePausedError, SoldOutError
from engine.sale.state import SALE
from tests.http.running import Edge, Own, key

ID = "0123456789abcdef0123456789abcdef"

BAD_LINES: list[Any] = [
    None,
    [],
    {},
    "lines",
    [None],
    [[]],
    [{}],
    [{"ticket_type": "standing"}],
    [{"ticket_type": "standing", "quantity": None}],
    [{"ticket_type": "standing", "quantity": 0}],
    [{"ticket_type": "standing", "quantity": -1}],
    [{"ticket_type": "standing", "quantity": 1.5}],
    [{"ticket_type": "standing", "quantity": "1"}],
    [{"ticket_type": "standing", "quantity": True}],
    [{"ticket_type": "standing", "quantity": 101}],
    [{"ticket_type": "standing", "quantity": 10**30}],
    [{"ticket_type": "", "quantity": 1}],
    [{"ticket_type": "x" * 65, "quantity": 1}],
    [{"ticket_type": 1, "quantity": 1}],
    [{"ticket_type": "stalls", "seats": []}],
    [{"ticket_type": "stalls", "seats": [1]}],
    [{"ticket_type": "stalls", "seats": "Stalls-1-1"}],
    [{"ticket_type": "stalls", "seats": ["x"] * 101}],
    [{"ticket_type": "stalls", "seats": ["Stalls-1-1"], "quantity": 1}],
    [{"ticket_type": "standing", "quantity": 1, "price": 1}],
    [{"ticket_type": "standing", "quantity": 1, "allow_split": "yes"}],
    [{"ticket_type": "standing", "quantity": 1}] * 21,
]

BAD_BODIES = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"1",
    b'"x"',
    b"{}",
    b'{"lines":}',
    b'{"lines":[],}',
    b"\xff\xfe",
    b'{"lines":[{"ticket_type":"\xff","quantity":1}]}',
    b'{"lines":[{"ticket_type":"\\ud800","quantity":1}]}',
    b'{"lines":' + b"[" * 10_000,
    b'{"lines":[{"ticket_type":"standing","quantity":1}]} x',
    b'{"lines":[{"ticket_type":"standing","quantity":1e400}]}',
    b'{"lines":[{"ticket_type":"standing","quantity":NaN}]}',
    b'{"lines":[{"ticket_type":"standing","quantity":1}],"more":1}',
    *(orjson.dumps({"lines": lines}, default=str, option=orjson.OPT_PASSTHROUGH_SUBCLASS)
      for lines in BAD_LINES if lines != [{"ticket_type": "standing", "quantity": 10**30}]),
    b'{"lines":[{"ticket_type":"standing","quantity":' + b"1" * 40 + b"}]}",
]  # fmt: skip


async def stored(redis: Redis, edge: Edge) -> dict[bytes, Any]:
    """Everything of the occurrence in the store."""
    found: dict[bytes, Any] = {}
    async for name in redis.scan_iter(match=f"*{edge.snapshot.occurrence}*"):
        found[name] = await redis.dump(name)
    return found


@pytest.fixture
async def plain(edge: Edge) -> AsyncIterator[Edge]:
    """The application without the lean way in front of it, on a port of its own."""
    handle = cast("Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]", edge.app._handle)
    bare = web.ServerRunner(web.Server(handle, request_factory=edge.app._make_request))
    await bare.setup()
    await web.TCPSite(bare, "127.0.0.1", 0).start()
    port = bare.addresses[0][1]
    url = f"http://127.0.0.1:{port}"
    yield Edge(edge.app, edge.runner, url, port, edge.session, edge.redis, edge.snapshot)
    await bare.cleanup()


@pytest.mark.parametrize("way", ["front", "plain"])
async def test_malformed_holds_are_refused_with_a_path_and_change_nothing(
    edge: Edge, plain: Edge, way: str
) -> None:
    target = edge if way == "front" else plain
    buyer = await edge.guest()
    before = await stored(edge.redis, edge)
    for body in BAD_BODIES:
        answer = await target.call(
            "POST",
            f"{edge.occurrence}/holds",
            body=body,
            headers={**buyer, **key(), "Content-Type": "application/json"},
        )
        assert answer.status == 400, (body[:80], answer)
        assert answer.code == "invalid_request", body[:80]
        assert answer.json["path"].startswith("$"), body[:80]
        assert answer.json["detail"]
    assert await stored(edge.redis, edge) == before


async def test_both_ways_answer_alike(edge: Edge, plain: Edge) -> None:
    buyer = await edge.guest()
    holds = f"{edge.occurrence}/holds"
    good = b'{"lines":[{"ticket_type":"standing","quantity":1}]}'
    content = {"Content-Type": "application/json"}
    for headers, body in (
        ({**key(), **content}, good),
        ({"Authorization": "Bearer x", **key(), **content}, good),
        ({**buyer, **content}, good),
        ({**buyer, "Idempotency-Key": "short", **content}, good),
        ({**buyer, **key()}, good),
        ({**buyer, **key(), "Content-Type": "text/plain"}, good),
        ({**buyer, **key(), **content}, b"{"),
        ({**buyer, **key(), **content}, b'{"lines":[]}'),
        ({**buyer, **key(), **content}, b'{"lines":[{"ticket_type":"none","quantity":1}]}'),
        ({**buyer, **key(), **content}, good),
    ):
        headers["X-Request-Id"] = "the-same-request"
        one = await edge.call("POST", holds, body=body, headers=headers)
        other = await plain.call("POST", holds, body=body, headers=headers)
        assert (one.status, one.raw) == (other.status, other.raw) or one.status == 201
        if one.status == 201:
            assert one.json["id"] == other.json["id"]
        ignored = {"Date", "Content-Length"}
        assert {n: v for n, v in one.headers.items() if n not in ignored} == {
            n: v for n, v in other.headers.items() if n not in ignored
        }


async def test_a_path_names_the_mistake(edge: Edge) -> None:
    buyer = await edge.guest()
    answer = await edge.hold(
        buyer,
        {"ticket_type": "standing", "quantity": 1},
        {"ticket_type": "standing", "quantity": 0},
    )
    assert answer.json["path"] == "$.lines[1].quantity"
    assert "$" not in answer.json["detail"]


@pytest.mark.parametrize(
    "body",
    [
        {"name": "Ada"},
        {"email": "ada@example.org"},
        {"email": "ada", "name": "Ada"},
        {"email": "ada@example", "name": "Ada"},
        {"email": "ada@example.org\n", "name": "Ada"},
        {"email": "ada@example.org\r\nBcc: all@example.org", "name": "Ada"},
        {"email": "a" * 250 + "@example.org", "name": "Ada"},
        {"email": "ada@example.org", "name": ""},
        {"email": "ada@example.org", "name": "A\u0000da"},
        {"email": "ada@example.org", "name": "Ada\n"},
        {"email": "ada@example.org", "name": "x" * 201},
        {"email": "ada@example.org", "name": "Ada", "attendees": ["\u0000"]},
        {"email": "ada@example.org", "name": "Ada", "attendees": [""] * 101},
        {"email": "ada@example.org", "name": "Ada", "attendees": "Ada"},
        {"email": "ada@example.org", "name": "Ada", "total": 0},
    ],
    ids=str,
)
async def test_malformed_checkouts_are_refused(edge: Edge, body: dict[str, Any]) -> None:
    buyer = await edge.guest()
    hold = await edge.hold(buyer, {"ticket_type": "standing", "quantity": 1})
    before = await stored(edge.redis, edge)
    path = f"{edge.occurrence}/holds/{hold.json['id']}/checkout"
    answer = await edge.call("POST", path, json=body, headers={**buyer, **key()})
    assert (answer.status, answer.code) == (400, "invalid_request")
    assert await stored(edge.redis, edge) == before


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/v1"),
        ("GET", "/v1/occurrences/"),
        ("GET", "/v1/occurrences/ABC"),
        ("GET", f"/v1/occurrences/{ID.upper()}"),
        ("GET", f"/v1/occurrences/{ID}0"),
        ("GET", f"/v1/occurrences/{ID}/holds/x"),
        ("GET", "/v1/events/Not%20a%20slug"),
        ("GET", "/v1/occurrences/%00"),
        ("POST", f"/v1/occurrences/{ID}/holds/"),
        ("DELETE", "/nothing"),
    ],
)
async def test_unknown_paths_are_404(edge: Edge, method: str, path: str) -> None:
    answer = await edge.call(method, path, headers=key())
    assert (answer.status, answer.code) == (404, "path_unknown")


async def test_a_wrong_method_is_405_and_names_the_right_ones(edge: Edge) -> None:
    answer = await edge.call("PUT", f"{edge.occurrence}/holds/{ID}")
    assert (answer.status, answer.code) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == "DELETE, GET, PATCH"
    assert answer.json["allowed"] == ["DELETE", "GET", "PATCH"]


@pytest.mark.parametrize("path", ["/v1/guests", "/v1/webhooks/stripe", "holds"])
async def test_a_body_over_the_bound_is_413(edge: Edge, path: str) -> None:
    headers = {**await edge.guest(), **key(), "Content-Type": "application/json"}
    headers["Stripe-Signature"] = "t=1,v1=00"
    path = f"{edge.occurrence}/holds" if path == "holds" else path
    answer = await edge.call("POST", path, body=b" " * 65_537, headers=headers)
    assert (answer.status, answer.code) == (413, "body_too_large")


@pytest.mark.parametrize("content_type", [None, "", "text/plain", "application/jsonp", "json"])
async def test_a_body_that_is_not_declared_as_json_is_415(
    edge: Edge, content_type: str | None
) -> None:
    headers = {**await edge.guest(), **key()}
    if content_type is not None:
        headers["Content-Type"] = content_type
    answer = await edge.call("POST", f"{edge.occurrence}/holds", body=b"{}", headers=headers)
    assert (answer.status, answer.code) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "content_type", ["application/json", "Application/JSON; charset=utf-8", "application/json ;x=y"]
)
async def test_json_may_be_declared_with_parameters(edge: Edge, content_type: str) -> None:
    headers = {**await edge.guest(), **key(), "Content-Type": content_type}
    answer = await edge.call("POST", f"{edge.occurrence}/holds", body=b"{}", headers=headers)
    assert answer.code == "invalid_request"


@pytest.mark.parametrize(
    "given",
    [
        None,
        "",
        "x" * 15,
        "x" * 256,
        "with a space in it",
        "tab\tin-the-middle",
        "umlaut-ü-0123456789",
    ],
)
async def test_every_post_wants_an_idempotency_key(edge: Edge, given: str | None) -> None:
    headers = dict(await edge.guest())
    if given is not None:
        headers["Idempotency-Key"] = given
    before = await stored(edge.redis, edge)
    for path in (
        f"{edge.occurrence}/holds",
        f"{edge.occurrence}/holds/{ID}/extend",
        f"{edge.occurrence}/holds/{ID}/checkout",
        f"{edge.occurrence}/orders/{ID}/cancel",
        f"{edge.occurrence}/orders/{ID}/settle",
    ):
        answer = await edge.call("POST", path, json={}, headers=headers)
        assert (answer.status, answer.code) == (400, "idempotency_key_invalid"), path
    assert await stored(edge.redis, edge) == before


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "bearer x",
        "Basic eDp5",
        "Bearer garbage",
        "Bearer " + TokenSigner("another-secret-of-more-than-32-bytes").issue_guest(None, 60),
        "Bearer " + TokenSigner(Settings().token_secret).issue_guest(None, -1),
    ],
)
async def test_buyers_routes_want_a_token(edge: Edge, authorization: str | None) -> None:
    headers = key()
    if authorization is not None:
        headers["Authorization"] = authorization
    for method, path in (
        ("POST", "holds"),
        ("GET", f"holds/{ID}"),
        ("PATCH", f"holds/{ID}"),
        ("DELETE", f"holds/{ID}"),
        ("POST", f"holds/{ID}/extend"),
        ("POST", f"holds/{ID}/checkout"),
        ("GET", f"orders/{ID}"),
        ("POST", f"orders/{ID}/cancel"),
        ("POST", f"orders/{ID}/settle"),
    ):
        answer = await edge.call(method, f"{edge.occurrence}/{path}", json={}, headers=headers)
        assert (answer.status, answer.code) == (401, "unauthorized"), (method, path)


async def test_an_unpublished_occurrence_is_404_everywhere(edge: Edge) -> None:
    buyer = await edge.guest()
    base = f"/v1/occurrences/{ID}"
    lines = {"lines": [{"ticket_type": "standing", "quantity": 1}]}
    person = {"email": "a@example.org", "name": "A"}
    for method, path, body in (
        ("GET", base, None),
        ("GET", f"{base}/seat-map", None),
        ("GET", f"{base}/availability", None),
        ("GET", f"{base}/live", None),
        ("POST", f"{base}/holds", lines),
        ("GET", f"{base}/holds/{ID}", None),
        ("PATCH", f"{base}/holds/{ID}", {"add": lines["lines"]}),
        ("DELETE", f"{base}/holds/{ID}", None),
        ("POST", f"{base}/holds/{ID}/extend", {}),
        ("POST", f"{base}/holds/{ID}/checkout", person),
        ("GET", f"{base}/orders/{ID}", None),
        ("POST", f"{base}/orders/{ID}/cancel", {}),
        ("POST", f"{base}/orders/{ID}/settle", {}),
    ):
        answer = await edge.call(method, path, json=body, headers={**buyer, **key()})
        assert (answer.status, answer.code) == (404, "occurrence_unknown"), (method, path)


async def test_a_mistake_of_ours_is_500_without_its_trace_but_with_the_request_id(
    edge: Edge, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("a secret of the house")

    monkeypatch.setattr(edge.app[SALE].orders, "read", broken)
    buyer = await edge.guest()
    answer = await edge.call("GET", f"{edge.occurrence}/orders/{ID}", headers=buyer)
    assert (answer.status, answer.code) == (500, "unexpected")
    assert b"secret" not in answer.raw
    assert answer.json["request_id"] == answer.headers["X-Request-Id"]
    (record,) = [record for record in caplog.records if record.exc_info]
    assert "a secret of the house" in str(record.exc_info)


async def test_a_store_that_is_away_is_503_with_retry_after(own: Own) -> None:
    buyer = await own.edge.guest()
    await own.away()
    person = {"email": "a@example.org", "name": "A"}
    base = own.edge.occurrence
    for method, path, body in (
        ("GET", f"{base}/availability", None),
        ("POST", f"{base}/holds", {"lines": [{"ticket_type": "standing", "quantity": 1}]}),
        ("GET", f"{base}/holds/{ID}", None),
        ("POST", f"{base}/holds/{ID}/checkout", person),
        ("GET", f"{base}/orders/{ID}", None),
    ):
        answer = await own.edge.call(method, path, json=body, headers={**buyer, **key()})
        assert (answer.status, answer.code) == (503, "store_unavailable"), (method, path)
        assert int(answer.headers["Retry-After"]) >= 1


def test_only_429_and_503_always_say_when_to_come_back() -> None:
    assert retry_after_s(OverloadedError()) == 2
    assert retry_after_s(OverloadedError(retry_after_s=7)) == 7
    assert retry_after_s(SalePausedError(retry_after_s=9)) == 9
    assert retry_after_s(SoldOutError()) is None
    response = problem_response(OverloadedError(), "request-1")
    assert response.headers["Retry-After"] == "2"


def test_what_an_error_adds_cannot_hide_what_every_problem_has() -> None:
    response = problem_response(PathUnknownError(code="mine", lines=[1]), "request-1")
    assert isinstance(response.body, bytes)
    document = orjson.loads(response.body)
    assert document["code"] == "path_unknown"
    assert document["lines"] == [1]
