"""Guests, request ids, headers, health and metrics."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from engine.core.tokens import TokenSigner
from engine.http.headers import request_id
from engine.http.metrics import BACKLOG, COMMANDS, LIVE_SOCKETS, Metrics
from engine.settings import Settings
from engine.store.worker_status import SILENCE_S, write_worker_status
from tests.http.running import Edge, Own, key


async def test_the_same_key_and_body_give_the_same_guest(edge: Edge) -> None:
    one = key()
    first = await edge.call("POST", "/v1/guests", json={"email": "a@example.org"}, headers=one)
    again = await edge.call("POST", "/v1/guests", json={"email": "a@example.org"}, headers=one)
    assert (first.status, again.status) == (201, 201)
    assert again.json["token"] == first.json["token"]
    assert again.json["expires_at"] == first.json["expires_at"]
    claims = TokenSigner(Settings().token_secret).verify(first.json["token"])
    assert (claims.sub, claims.email) == (first.json["buyer"], "a@example.org")
    other = await edge.call("POST", "/v1/guests", json={"email": "a@example.org"}, headers=key())
    assert other.json["buyer"] != first.json["buyer"]


async def test_the_same_key_with_another_body_is_422(edge: Edge) -> None:
    one = key()
    await edge.call("POST", "/v1/guests", json={"email": "a@example.org"}, headers=one)
    other = await edge.call("POST", "/v1/guests", json={}, headers=one)
    assert (other.status, other.code) == (422, "idempotency_mismatch")


async def test_many_at_once_with_one_key_are_one_guest(edge: Edge) -> None:
    one = key()
    answers = await asyncio.gather(
        *(edge.call("POST", "/v1/guests", headers=one) for _ in range(30))
    )
    assert {answer.status for answer in answers} == {201}
    assert len({answer.json["token"] for answer in answers}) == 1


async def test_what_is_remembered_of_a_guest_is_forgotten_within_a_day(edge: Edge) -> None:
    await edge.call("POST", "/v1/guests", headers=key())
    (name,) = [name async for name in edge.redis.scan_iter(match="*:guest:*")]
    assert re.fullmatch(rb"\{s\d\d\}:guest:[0-9a-f]{32}", name)
    assert 0 < await edge.redis.ttl(name) <= 86_400


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
