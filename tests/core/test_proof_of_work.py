"""ALTCHA's challenges, against ALTCHA's own library on both ends, and what forgers try."""

from __future__ import annotations

import base64
import math
import time
from typing import Any

import altcha
import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.ids import new_id
from engine.core.settings import Settings
from engine.queue.errors import ChallengeError
from engine.queue.gate import proof_of_work as pow_

SECRET = "a secret that is long enough for it"
KEYS = pow_.proof_keys(SECRET)
PARAMETERS, SOLUTION = pow_.raw_proof_keys(SECRET)
BUYER, OCCURRENCE = new_id(), new_id()
NOW = time.time()
DIFFICULTY = 1_000


def made(**changes: Any) -> pow_.Challenge:
    values = {"buyer": BUYER, "occurrence": OCCURRENCE, "now_s": NOW, "difficulty": DIFFICULTY}
    return pow_.make_challenge(KEYS, **{**values, **changes})


def opened(payload: str) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(base64.b64decode(payload))
    return found


def closed(proof: Any) -> str:
    return base64.b64encode(orjson.dumps(proof)).decode()


def verify(payload: str | None, buyer: str = BUYER, now_s: float = NOW) -> None:
    pow_.verify_proof(KEYS, payload, buyer, OCCURRENCE, now_s)


def test_our_challenge_is_solved_by_the_library_and_verified_by_us() -> None:
    challenge = altcha.Challenge.from_dict(msgspec.to_builtins(made()))
    solution = altcha.solve_challenge(challenge)
    assert solution is not None
    verify(altcha.Payload(challenge, solution).to_base64())


def test_our_proof_is_verified_by_the_library() -> None:
    payload = pow_.solve(made())
    result = altcha.verify_solution(payload, PARAMETERS, hmac_key_secret=SOLUTION)
    assert result.verified
    slow = altcha.verify_solution(payload, PARAMETERS)  # derives the key anew
    assert slow.verified


def test_the_librarys_challenge_is_solved_by_us() -> None:
    theirs = altcha.create_challenge(
        "PBKDF2/SHA-256",
        pow_.COST,
        counter=7,
        hmac_secret=PARAMETERS,
        hmac_key_secret=SOLUTION,
        expires_at=int(NOW) + 60,
        data={"buyer": BUYER, "occurrence": OCCURRENCE},
    )
    verify(pow_.solve(msgspec.convert(theirs.to_dict(), pow_.Challenge)))


def test_a_proof_is_good_again_for_the_same_buyer_only() -> None:
    payload = pow_.solve(made())
    verify(payload)
    verify(payload)
    with pytest.raises(ChallengeError, match="another buyer"):
        verify(payload, buyer=new_id())
    with pytest.raises(ChallengeError, match="another buyer or sale"):
        pow_.verify_proof(KEYS, payload, BUYER, new_id(), NOW)


def test_a_proof_is_good_for_twenty_minutes() -> None:
    payload = pow_.solve(made())
    verify(payload, now_s=int(NOW) + pow_.LIFE_S - 1)
    with pytest.raises(ChallengeError, match="too old"):
        verify(payload, now_s=int(NOW) + pow_.LIFE_S)


def test_another_installations_challenge_is_refused() -> None:
    other = pow_.proof_keys("another secret that is long enough")
    payload = pow_.solve(pow_.make_challenge(other, BUYER, OCCURRENCE, NOW, DIFFICULTY))
    with pytest.raises(ChallengeError, match="not ours"):
        verify(payload)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("expiresAt", int(NOW) + 10**6, id="expiresAt"),
        ("data", {"buyer": BUYER, "occurrence": "0" * 32}),
        ("cost", 1),
        ("keyLength", 16),
        ("keyPrefix", "0" * 32),
        ("keySignature", "0" * 64),
        ("nonce", "0" * 32),
        ("salt", "0" * 32),
    ],
)
def test_every_parameter_is_signed(field: str, value: object) -> None:
    proof = opened(pow_.solve(made()))
    proof["challenge"]["parameters"][field] = value
    with pytest.raises(ChallengeError, match="not ours"):
        verify(closed(proof))


@pytest.mark.parametrize("key", ["0" * 64, "g" * 64, "é" * 64])
def test_a_challenge_that_is_not_solved_is_refused(key: str) -> None:
    proof = opened(pow_.solve(made()))
    proof["solution"]["derivedKey"] = key
    with pytest.raises(ChallengeError, match="not solved"):
        verify(closed(proof))


def test_the_solution_of_another_challenge_is_refused() -> None:
    proof, other = opened(pow_.solve(made())), opened(pow_.solve(made()))
    proof["solution"] = other["solution"]
    with pytest.raises(ChallengeError, match="not solved"):
        verify(closed(proof))


def test_no_proof_says_what_to_do() -> None:
    with pytest.raises(ChallengeError, match="/queue/challenge"):
        verify(None)


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "x",
        "=" * 40,
        "é",
        closed([]),
        closed({}),
        closed({"challenge": None, "solution": None}),
        closed({"challenge": {"parameters": {}, "signature": "é" * 64}, "solution": {}}),
        base64.b64encode(b"[" * 1_000).decode(),
        "A" * (pow_.PAYLOAD_LENGTH_MAX + 1),
    ],
)
def test_nonsense_is_refused(payload: str) -> None:
    with pytest.raises(ChallengeError, match="no proof"):
        verify(payload)


def test_a_signature_that_is_no_hex_is_refused() -> None:
    proof = opened(pow_.solve(made()))
    proof["challenge"]["signature"] = "é" * 64
    with pytest.raises(ChallengeError, match="not ours"):
        verify(closed(proof))


@given(st.text(max_size=200))
def test_whatever_is_sent_is_an_answer(text: str) -> None:
    with pytest.raises(ChallengeError):
        verify(text)


def test_a_proof_fits_the_limit_with_room() -> None:
    assert len(pow_.solve(made(difficulty=50_000))) * 2 < pow_.PAYLOAD_LENGTH_MAX


def test_the_difficulty_is_the_mean_of_the_hashes() -> None:
    counters = [
        opened(pow_.solve(made(difficulty=2_000)))["solution"]["counter"] for _ in range(400)
    ]
    assert max(counters) < 2 * 2_000 / pow_.COST  # bounded: nobody is unlucky for ever
    assert 15 < sum(counters) / len(counters) < 25  # 20; standard error 0.6


@pytest.mark.parametrize("difficulty", [0, 1, 10**12])
def test_any_difficulty_makes_a_challenge(difficulty: float) -> None:
    assert made(difficulty=difficulty).parameters.cost == pow_.COST


@pytest.mark.parametrize(
    ("per_second", "factor"), [(0, 1), (100, 1), (200, 2), (1_600, 16), (1e9, 16)]
)
def test_the_difficulty_rises_with_the_rate(per_second: float, factor: float) -> None:
    assert pow_.load_factor(per_second) == factor


@pytest.mark.parametrize("per_second", [10, 100, 2_000])
def test_a_steady_rate_is_measured(per_second: int) -> None:
    joined = pow_.JoinRate()
    for number in range(per_second * 60):
        rate = joined.see(number, 1_000 + number / per_second)
    assert rate == pytest.approx(per_second, rel=0.03)


@pytest.mark.parametrize("every_s", [0.25, 1, 30, 3_600])
def test_it_does_not_matter_how_often_one_looks(every_s: float) -> None:
    joined = pow_.JoinRate()
    for look in range(math.ceil(60 / every_s) + 1):
        rate = joined.see(round(50 * look * every_s), 1_000 + look * every_s)
    assert rate == pytest.approx(50, rel=0.03)


def test_what_one_network_may_do_in_a_moment_makes_nothing_harder() -> None:
    joined = pow_.JoinRate()
    joined.see(0, 1_000)
    at_once = 2 * Settings().door_address_soft  # at the turn of two windows
    for look in range(100):
        assert pow_.load_factor(joined.see(at_once, 1_000.001 + look / 4)) == 1


def test_the_rate_calms_down() -> None:
    joined = pow_.JoinRate()
    for number in range(10_000):
        busy = joined.see(number, 1_000 + number / 1_000)
    assert busy > 500
    assert joined.see(number, 1_010 + 5) == pytest.approx(busy / 2, rel=0.01)
    assert joined.see(number, 1_010 + 60) < 1


def test_a_line_that_begins_anew_or_a_clock_that_is_set_back_is_no_crowd() -> None:
    joined = pow_.JoinRate()
    assert joined.see(10**6, 1_000) == 0
    assert joined.see(5, 1_001) == 0
    assert joined.see(10**6, 900) == 0
    assert joined.see(10**6 + 1, 901) <= 1
