"""Proof of work at the door: ALTCHA's challenges (altcha.org, "PoW v2", deterministic mode).

The server draws a counter, derives ``key = PBKDF2-HMAC-SHA-256(nonce || counter,
salt, COST)`` and tells the first half of it; the client tries counters from 0 on
until its key begins so. PBKDF2 is what browsers run in native code, so somebody
with a program of his own is only some times faster than an honest visitor; with
single SHA-256 hashes, each a call from JavaScript, he is a hundred times.

The parameters are signed, among them the buyer, the occurrence and the end, and
so is the key that is asked for. A proof is therefore checked with two HMACs and
without any memory; it is useless to everybody else, and the buyer who sends it
twice gets the place that he has.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import secrets
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from engine.core.signing import Mac
from engine.queue.errors import ChallengeError

LIFE_S = 1_200  # enough to load the page on a bad line, solve and join, more than once
COST = 100  # hashes a counter: deriving the one key takes the server 25 us, asking costs no less
COUNTER_MAX = 1_000_000  # 100 million hashes: a minute in a browser, more is a mistake
PAYLOAD_LENGTH_MAX = 2_048  # characters; with all its fields a proof has some 900

# Joins of a line up to which the difficulty stays as set. The soft budgets let one network give
# 600 in a moment, at the turn of two windows: they are measured as 83 a second.
CALM_PER_S = 100.0
FACTOR_MAX = 16.0  # reached at 1,600 a second
_RATE_OVER_S = 5.0

_KEY_BYTES = 32
_WHAT_TO_DO = (
    "solve the ALTCHA challenge from GET /v1/occurrences/{occurrence}/queue/challenge "
    "and send the result as challenge"
)
_Hex16 = Annotated[str, Meta(min_length=32, max_length=32)]  # what is signed needs no pattern
_Hex32 = Annotated[str, Meta(min_length=64, max_length=64)]


class ChallengeOwner(msgspec.Struct, frozen=True, kw_only=True):
    """Whose challenge it is, and for what."""

    buyer: str
    occurrence: str


class ChallengeParameters(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is signed. The order of the fields is that of the signed JSON: by name."""

    algorithm: Literal["PBKDF2/SHA-256"] = "PBKDF2/SHA-256"
    cost: int = COST
    data: ChallengeOwner
    expires_at: int  # seconds since the epoch
    key_length: int = _KEY_BYTES
    key_prefix: _Hex16
    key_signature: _Hex32
    nonce: _Hex16
    salt: _Hex16


class Challenge(msgspec.Struct, frozen=True, kw_only=True):
    """What the client is given to solve: the JSON that ALTCHA's widget and libraries take."""

    parameters: ChallengeParameters
    signature: _Hex32


class _Solution(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    counter: int
    derived_key: _Hex32


class _Payload(msgspec.Struct, frozen=True, kw_only=True):
    challenge: Challenge
    solution: _Solution


class ProofKeys(NamedTuple):
    """The keys that sign parameters and solutions."""

    parameters: Mac
    solution: Mac


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Payload).decode


def proof_keys(secret: str) -> ProofKeys:
    """Return the keys of an installation. They are of no use to sign anything else."""
    return ProofKeys(*(Mac(key) for key in raw_proof_keys(secret)))


def raw_proof_keys(secret: str) -> tuple[bytes, bytes]:
    """Return the same two keys as the bytes that ALTCHA's own libraries take."""
    return (
        hmac.digest(secret.encode(), b"onsale: proof of work: parameters", "sha256"),
        hmac.digest(secret.encode(), b"onsale: proof of work: solution", "sha256"),
    )


def load_factor(per_second: float) -> float:
    """Return by what the difficulty is multiplied when so many join a line a second.

    Joins, each of which took a solved challenge, and not challenges that were asked
    for: nobody makes it harder for the others who has not worked for it.
    """
    return min(max(per_second / CALM_PER_S, 1.0), FACTOR_MAX)


class JoinRate:
    """How many have joined a line lately, a second, from its total; older ones count less."""

    def __init__(self) -> None:
        self._rate = 0.0
        self._seen: tuple[int, float] | None = None

    def see(self, total: int, now_s: float) -> float:
        """Take in how many have joined up to ``now_s``, and return the rate."""
        if self._seen is None or total < self._seen[0] or now_s < self._seen[1]:
            self._seen = (total, now_s)  # the first look, or the line began anew
            return self._rate
        before, at_s = self._seen
        gone_s = now_s - at_s
        if gone_s > 0:
            self._seen = (total, now_s)
            kept = 2.0 ** -(gone_s / _RATE_OVER_S)
            self._rate = self._rate * kept + (total - before) / gone_s * (1 - kept)
        return self._rate


def make_challenge(
    keys: ProofKeys, buyer: str, occurrence: str, now_s: float, difficulty: float
) -> Challenge:
    """Return a new challenge for ``difficulty`` hashes on average, at most twice as many."""
    counters = min(max(round(2 * difficulty / COST), 1), COUNTER_MAX)
    drawn = secrets.token_bytes(32)
    nonce, salt = drawn[:16], drawn[16:]
    key = derive(nonce, salt, secrets.randbelow(counters))
    parameters = ChallengeParameters(
        data=ChallengeOwner(buyer=buyer, occurrence=occurrence),
        expires_at=int(now_s) + LIFE_S,
        key_prefix=key[: _KEY_BYTES // 2].hex(),
        key_signature=keys.solution.hexdigest(key),
        nonce=nonce.hex(),
        salt=salt.hex(),
    )
    signature = keys.parameters.hexdigest(_encode(parameters))
    return Challenge(parameters=parameters, signature=signature)


def derive(nonce: bytes, salt: bytes, counter: int) -> bytes:
    """Return the key of a counter: 32 bytes."""
    password = nonce + counter.to_bytes(4, "big")
    return hashlib.pbkdf2_hmac("sha256", password, salt, COST, _KEY_BYTES)


def verify_proof(
    keys: ProofKeys, payload: str | None, buyer: str, occurrence: str, now_s: float
) -> None:
    """Raise :class:`ChallengeError` unless this is a proof of this buyer for this occurrence.

    ``payload``: base 64 of the JSON ``{challenge, solution}``, as ALTCHA's widget makes it.
    """
    if payload is None:
        raise ChallengeError(f"To join, {_WHAT_TO_DO}")
    if len(payload) > PAYLOAD_LENGTH_MAX:
        raise ChallengeError(f"This is no proof: {_WHAT_TO_DO}")
    try:
        proof = _decode(binascii.a2b_base64(payload))
    except (ValueError, RecursionError):  # binascii.Error and msgspec's errors are ValueErrors
        raise ChallengeError(f"This is no proof: {_WHAT_TO_DO}") from None
    parameters = proof.challenge.parameters
    signature = keys.parameters.hexdigest(_encode(parameters))
    if not hmac.compare_digest(signature.encode(), proof.challenge.signature.encode()):
        raise ChallengeError(f"This challenge is not ours: {_WHAT_TO_DO}")
    if parameters.data.buyer != buyer or parameters.data.occurrence != occurrence:
        raise ChallengeError(f"This challenge was for another buyer or sale: {_WHAT_TO_DO}")
    if parameters.expires_at <= now_s:
        raise ChallengeError(f"This challenge is too old: {_WHAT_TO_DO}")
    try:
        key = bytes.fromhex(proof.solution.derived_key)
    except ValueError:
        key = b""
    found = keys.solution.hexdigest(key)
    if not hmac.compare_digest(found, parameters.key_signature):
        raise ChallengeError(f"The challenge is not solved: {_WHAT_TO_DO}")


def solve(challenge: Challenge) -> str:
    """Return the payload that proves the work; it takes the work.

    For programs that join as buyers do: load generators, tests, own clients.
    """
    parameters = challenge.parameters
    nonce, salt = bytes.fromhex(parameters.nonce), bytes.fromhex(parameters.salt)
    prefix = bytes.fromhex(parameters.key_prefix)
    for counter in range(COUNTER_MAX):
        key = derive(nonce, salt, counter)
        if key.startswith(prefix):
            found = _Payload(
                challenge=challenge, solution=_Solution(counter=counter, derived_key=key.hex())
            )
            return binascii.b2a_base64(_encode(found), newline=False).decode()
    raise ChallengeError("This challenge has no solution")
