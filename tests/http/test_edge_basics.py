"""Guests, request ids, headers, health and metrics."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from engine.core.settings import Settings
from engine.core.tokens import TokenSigner
from engine.platform.http.headers import request_id
from engine.platform.telemetry.heartbeat import SILENCE_S, write_worker_status
from engine.platform.telemetry.http_metrics import BACKLOG, COMMANDS, LIVE_SOCKETS, Metrics
from tests.http.running import Edge, Own, key


async def test_a_guest_has_a_token_that_says_who_they_are(edge: Edge) -> None:
    answer = await edge.call("POST", "/v1/guests", json={"email": "a@example.org"})
    assert answer.status == 201
    claims = TokenSigner(Settings().token_secret).verify(answer.json["token"])
    assert (claims.sub, claims.email) == (answer.json["buyer"], "a@example.org")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Idempotency-Key": "my-first-request"},
        {"Idempotency-Key": "x"},
        {"Idempotency-Key": "0" * 255, "X-Request-Id": "the-same-for-all"},
    ],
    ids=str,
)
@pytest.mark.parametrize("json", [None, {}, {"email": "ada@example.org"}], ids=str)
async def test_nothing_that_clients_choose_makes_two_of_them_one_buyer(
    edge: Edge, headers: dict[str, str], json: Any
) -> None:
    answers = await asyncio.gather(
        *(edge.call("POST", "/v1/guests", json=json, headers=headers) for _ in range(10)),
        edge.call("POST", "/v1/guests", json={"email": "b@example.org"}, headers=headers),
    )
    assert {answer.status for answer in answers} == {201}
    assert len({answer.json["buyer"] for answer in answers}) == 11
    assert len({answer.json["token"] for answer in answers}) == 11


async def test_a_guest_leaves_nothing_in_the_store(edge: Edge) -> None:
    before = await edge.redis.dbsize()
    await edge.call("POST", "/v1/guests", headers=key())
    assert await edge.redis.dbsize() <= before
    assert not await edge.redis.keys("*guest*")


@pytest.mark.parametrize("body", [{"email": "x"}, {"email": 1}, {"name": "x"}, [], "x"])
async def test_a_malformed_guest_is_400(edge: Edge, body: Any) -> None:
    answer = await edge.call("POST", "/v1/guests", json=body, headers=key())
    assert (answer.status, answer.code) == (400, "invalid_request")


async def test_a_request_id_comes_back_and_is_in_the_problem(edge: Edge) -> None:
    for path in ("/health/live", "/nothing"):
        answer = await edge.call("GET", path, headers={"X-Request-Id": "my.request_1-2"})
        assert answer.headers["X-Request-Id"] == "my.request_1-2"
    assert answer.json["request_id"] == "my.request_1-2"
    fresh = [(await edge.call("GET", "/health/live")).headers["X-Request-Id"] for _ in range(2)]
    assert len(set(fresh)) == 2


@pytest.mark.parametrize(
    "given", [None, "", "short", "x" * 65, "with space", 'quote"1234', "a\nb12345"]
)
def test_a_harmful_request_id_is_replaced(given: str | None) -> None:
    assert re.fullmatch("[0-9a-f]{32}", request_id(given))


@pytest.mark.parametrize("path", ["/health/live", "/nothing", "/docs", "/v1/events", "holds"])
async def test_every_answer_has_the_careful_headers(edge: Edge, path: str) -> None:
    if path == "holds":
        buyer = await edge.guest()
        answer = await edge.hold(buyer, {"ticket_type": "standing", "quantity": 1})
    else:
        answer = await edge.call("GET", path)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Server"] == "onsale"
    assert answer.headers["Cache-Control"]


async def test_ready_says_what_the_worker_says_of_postgresql(edge: Edge) -> None:
    silent = await edge.call("GET", "/health/ready")
    assert silent.status == 200
    assert silent.json == {
        "status": "ready",
        "redis": "up",
        "worker": "down",
        "postgres": "unknown",
    }
    for postgres in ("up", "down"):
        await write_worker_status(edge.redis, postgres=postgres)
        answer = await edge.call("GET", "/health/ready")
        assert (answer.status, answer.json["worker"]) == (200, "up")
        assert answer.json["postgres"] == postgres
    assert 0 < await edge.redis.ttl("onsale:worker") <= SILENCE_S


async def test_without_the_store_the_process_lives_but_is_not_ready(own: Own) -> None:
    assert (await own.edge.call("GET", "/health/ready")).status == 200
    await own.away()
    assert (await own.edge.call("GET", "/health/live")).json == {"status": "up"}
    answer = await own.edge.call("GET", "/health/ready")
    assert answer.status == 503
    assert answer.headers["Retry-After"]
    assert answer.json["redis"] == "down"
    await own.back()
    assert (await own.edge.call("GET", "/health/ready")).status == 200


def samples(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_metrics_count_every_way_a_request_can_take(edge: Edge) -> None:
    buyer = await edge.guest()
    await edge.hold(buyer, {"ticket_type": "standing", "quantity": 1})
    await edge.hold(buyer, {"ticket_type": "standing", "quantity": 1})
    await edge.call("GET", "/nothing")
    found = samples(edge.metrics)

    def count(route: str, status: int) -> float:
        labels = frozenset({("route", route), ("status", str(status))})
        return found[("onsale_http_requests_total", labels)]

    assert count("create_guest", 201) == 1
    assert count("create_hold", 201) == 1
    assert count("create_hold", 409) == 1
    assert count("none", 404) == 1
    timed = found[("onsale_http_request_seconds_count", frozenset({("route", "create_hold")}))]
    assert timed == 2


def test_metrics_of_all_processes_are_added_up() -> None:
    metrics = Metrics(["a"], processes=2)
    for process in (0, 1):
        metrics.attach(process)
        metrics.observe("a", 200, 0.003)
        metrics.observe("a", 599, 100.0)
        metrics.sample(LIVE_SOCKETS, 5)
        metrics.sample(COMMANDS, 7)
        metrics.sample(BACKLOG, 10 + process)
    found = samples(metrics.exposition().decode())
    none: frozenset[tuple[str, str]] = frozenset()
    by_status = {
        dict(labels)["status"]: value
        for (name, labels), value in found.items()
        if name == "onsale_http_requests_total"
    }
    assert by_status == {"200": 2, "other": 2}
    assert found[("onsale_live_sockets", none)] == 10
    assert found[("onsale_batch_commands_total", none)] == 14
    assert found[("onsale_backlog_records", none)] == 11
    seconds = found[("onsale_http_request_seconds_sum", frozenset({("route", "a")}))]
    assert seconds == pytest.approx(200.006)
    bucket = frozenset({("route", "a"), ("le", "10.0")})
    assert found[("onsale_http_request_seconds_bucket", bucket)] == 2


def test_a_process_that_replaces_another_counts_on_but_samples_anew() -> None:
    metrics = Metrics(["a"])
    metrics.observe("a", 200, None)
    metrics.sample(LIVE_SOCKETS, 5)
    metrics.attach(0)
    found = metrics.exposition().decode()
    assert 'onsale_http_requests_total{route="a",status="200"} 1.0' in found
    assert "onsale_live_sockets 0.0" in found
