"""A machine whose clock is wrong by an hour serves as well as any other."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from engine.core.clock import FollowedClock
from engine.core.settings import Settings
from engine.core.tokens import TokenSigner
from engine.platform.http.state import CLOCK
from engine.platform.http.websocket.tickets import LiveTickets
from engine.queue.gate.proof_of_work import make_challenge, proof_keys, solve
from tests.http.lines import LineEdge, running_line

HOUR_S = 3_600


@pytest.fixture(params=[-HOUR_S, HOUR_S])
async def line(
    request: pytest.FixtureRequest,
    edge_settings: Settings,
    redis_client: Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[LineEdge]:
    """A line on a machine whose wall clock is an hour behind, or ahead."""
    true_time = time.time
    monkeypatch.setattr(time, "time", lambda: true_time() + request.param)
    settings = replace(edge_settings, door_difficulty=100, guest_token_ttl_s=HOUR_S // 2)
    async with running_line(settings, redis_client) as one:
        monkeypatch.setattr(time, "time", true_time)
        yield one


async def test_it_goes_with_the_store(line: LineEdge) -> None:
    assert abs(line.edge.app[CLOCK]() - time.time()) < HOUR_S / 10


async def test_what_other_machines_have_signed_is_taken(line: LineEdge) -> None:
    secret = Settings().token_secret
    signer = TokenSigner(secret)
    claims = signer.guest(None, HOUR_S // 2)
    headers = {"Authorization": f"Bearer {signer.sign(claims)}"}
    occurrence = line.edge.snapshot.occurrence
    challenge = make_challenge(proof_keys(secret), claims.sub, occurrence, time.time(), 100)
    await line.command("open")
    answer = await line.edge.call(
        "POST", line.url, headers=headers, json={"challenge": solve(challenge)}
    )
    assert answer.status == 200, answer
    ticket = LiveTickets(secret).issue(claims.sub, occurrence)
    url = f"{line.edge.url}{line.url}/live?ticket={ticket}"
    connection = await line.edge.session.ws_connect(url)
    await connection.close()


def test_without_a_better_clock_it_is_the_machines() -> None:
    assert abs(FollowedClock()() - time.time()) < HOUR_S


def test_the_time_that_the_answer_took_is_reckoned_with() -> None:
    clock = FollowedClock()
    now = time.monotonic()
    clock.follow(1_000_000.0, now - 2, now)
    assert clock() - 1_000_001.0 < HOUR_S
    assert clock() >= 1_000_001.0


def test_an_answer_that_took_long_moves_the_clock_only_when_it_is_really_wrong() -> None:
    clock = FollowedClock()
    now = time.monotonic()
    clock.follow(1_000_000.0, now - 0.001, now)
    before = clock() - time.monotonic()
    assert clock.follow(999_999.5 + 0.3, now - 1, now) == 0.0  # within what it may be wrong
    assert clock() - time.monotonic() == pytest.approx(before, abs=1e-6)
    assert clock.follow(999_999.5 + 60, now - 1, now) < -55
    assert clock() - time.monotonic() == pytest.approx(before + 60, abs=1)
