"""Buyers' tokens, with PyJWT as the second opinion in both directions."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.emails import EMAIL_LENGTH_MAX
from engine.core.errors import UnauthorizedError
from engine.core.tokens import TOKEN_LENGTH_MAX, TokenSigner

SECRET = "a-secret-of-the-tests-that-is-long-enough-for-all-of-the-algorithms"
NOW = 1_800_000_000
BUYER = "01a1f7f1efbb7465b31f6a2e285a0c51"


class Clock:
    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


def signer(clock: Clock | None = None, **options: Any) -> TokenSigner:
    return TokenSigner(SECRET, clock=clock or Clock(), **options)


def payload(**changes: Any) -> dict[str, Any]:
    """Acceptable claims, with changes; ``...`` leaves one out."""
    values = {
        "sub": BUYER,
        "kind": "guest",
        "exp": NOW + 60,
        "jti": "01a1f7f1efbb7957bda8a5db0823ef22",
        "aud": "onsale",
        "iss": "onsale",
        **changes,
    }
    return {name: value for name, value in values.items() if value is not ...}


def other_sign(
    claims: dict[str, Any],
    *,
    secret: str = SECRET,
    algorithm: str = "HS256",
    headers: dict[str, Any] | None = None,
) -> str:
    return jwt.encode(claims, secret, algorithm=algorithm, headers=headers)


def other_verify(token: str) -> dict[str, Any]:
    """What PyJWT makes of a token; the clock of the tests is not its own, so exp is not asked."""
    return jwt.decode(
        token,
        SECRET,
        algorithms=["HS256"],
        audience="onsale",
        issuer="onsale",
        options={"require": ["exp", "aud", "iss", "jti", "sub"], "verify_exp": False},
    )


def test_what_is_issued_is_verified_here_and_elsewhere() -> None:
    one = signer()
    token = one.issue_guest("ada@example.org", 3600)
    claims = one.verify(token)
    assert re.fullmatch("[0-9a-f]{32}", claims.sub)
    assert (claims.kind, claims.email, claims.exp) == ("guest", "ada@example.org", NOW + 3600)
    elsewhere = other_verify(token)
    assert elsewhere["sub"] == claims.sub
    assert elsewhere["jti"] == claims.jti
    assert elsewhere["email"] == claims.email
    assert elsewhere["exp"] == claims.exp
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}


def test_what_is_signed_elsewhere_with_our_secret_is_verified_here() -> None:
    claims = signer().verify(other_sign(payload(email="ada@example.org")))
    assert (claims.sub, claims.email) == (BUYER, "ada@example.org")
    assert signer().verify(other_sign(payload())).email is None
    assert signer().verify(other_sign(payload(scope="more", iat=NOW))).sub == BUYER


def test_the_same_claims_make_the_same_token_and_each_guest_is_another() -> None:
    one = signer()
    claims = one.guest(None, 60)
    assert one.sign(claims) == signer().sign(claims)
    assert one.verify(one.sign(claims)) == claims
    assert one.guest(None, 60).sub != claims.sub


def test_the_longest_address_still_fits() -> None:
    one = signer()
    token = one.issue_guest("a@" + "x" * (EMAIL_LENGTH_MAX - 6) + ".org", 60)
    assert len(token) < TOKEN_LENGTH_MAX
    assert one.verify(token).email is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "another"},
        {"aud": ["onsale"]},
        {"aud": ...},
        {"iss": "another"},
        {"iss": ...},
        {"exp": NOW},
        {"exp": NOW - 1},
        {"exp": ...},
        {"exp": str(NOW + 60)},
        {"exp": NOW + 60.5},
        {"exp": None},
        {"exp": 1 << 50},
        {"jti": ...},
        {"jti": ""},
        {"jti": "x" * 65},
        {"jti": 1},
        {"sub": ...},
        {"sub": BUYER[:-1]},
        {"sub": BUYER + "0"},
        {"sub": BUYER[:-1] + "G"},
        {"sub": BUYER.upper()},
        {"sub": BUYER[:-1] + "\n"},
        {"sub": None},
        {"kind": ...},
        {"kind": "admin"},
        {"email": 1},
        {"email": "x" * (EMAIL_LENGTH_MAX + 1)},
        {"nbf": NOW + 10},
        {"nbf": "soon"},
    ],
    ids=str,
)
def test_unacceptable_claims_are_refused(changes: dict[str, Any]) -> None:
    claims = payload(**changes)
    text = json.dumps(claims).encode()
    # signed by hand: PyJWT itself refuses to encode some of these
    token = jwt.api_jws.encode(text, SECRET, algorithm="HS256")
    with pytest.raises(UnauthorizedError):
        signer().verify(token)


@pytest.mark.parametrize(
    "token",
    [
        other_sign(payload(), secret="another-secret-that-has-more-than-32-bytes"),
        other_sign(payload(), algorithm="HS384"),
        other_sign(payload(), algorithm="HS512"),
        jwt.encode(payload(), None, algorithm="none"),
        other_sign(payload(), headers={"kid": "1"}),
        other_sign(payload(), headers={"typ": "at+jwt"}),
        other_sign(payload(), headers={"crit": ["exp"]}),
        "",
        ".",
        "..",
        "...",
        "garbage",
        "a.b.c",
        other_sign(payload()).rsplit(".", 1)[0],
        other_sign(payload()).rsplit(".", 1)[0] + ".",
        other_sign(payload()) + "=",
        other_sign(payload()) + "\n",
        " " + other_sign(payload()),
        other_sign(payload()) + ".x",
        other_sign(payload()) + "é",
        "\udcff" + other_sign(payload()),
        other_sign(payload(padding="x" * TOKEN_LENGTH_MAX)),
        jwt.api_jws.encode(b"not json", SECRET, algorithm="HS256"),
        jwt.api_jws.encode(b"[]", SECRET, algorithm="HS256"),
        jwt.api_jws.encode(b"", SECRET, algorithm="HS256"),
        jwt.api_jws.encode(b"\xff\xfe", SECRET, algorithm="HS256"),
        jwt.api_jws.encode(b"[" * 700, SECRET, algorithm="HS256"),
    ],
)
def test_everything_else_is_refused(token: str) -> None:
    with pytest.raises(UnauthorizedError):
        signer().verify(token)


def test_a_payload_that_is_no_base64_is_refused() -> None:
    import hashlib
    import hmac

    header = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=")
    signed = header + b".A"  # one character is no base64
    mac = hmac.digest(SECRET.encode(), signed, hashlib.sha256)
    token = signed + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")
    with pytest.raises(UnauthorizedError):
        signer().verify(token.decode())


def test_a_token_that_was_verified_before_expires_all_the_same() -> None:
    clock = Clock()
    one = signer(clock)
    token = one.issue_guest(None, 60)
    one.verify(token)
    clock.now += 59.9
    one.verify(token)
    clock.now += 0.1
    with pytest.raises(UnauthorizedError):
        one.verify(token)


def test_the_memory_of_verified_tokens_is_bounded() -> None:
    one = signer(cache_max=10)
    tokens = [one.issue_guest(None, 60) for _ in range(55)]
    for token in tokens:
        one.verify(token)
    assert len(one._recent) + len(one._older) <= 20
    for token in tokens:
        assert one.verify(token).kind == "guest"


def test_refused_tokens_are_not_remembered() -> None:
    one = signer()
    for index in range(50):
        with pytest.raises(UnauthorizedError):
            one.verify(f"garbage-{index}")
    assert not one._recent


GOOD = other_sign(payload(email="ada@example.org"))


@given(position=st.integers(0, len(GOOD) - 1), char=st.characters(max_codepoint=0x17F))
def test_one_changed_character_is_refused(position: int, char: str) -> None:
    changed = GOOD[:position] + char + GOOD[position + 1 :]
    if changed == GOOD:
        return
    with pytest.raises(UnauthorizedError):
        signer().verify(changed)


@given(token=st.text(max_size=1200))
def test_no_text_does_more_than_be_refused(token: str) -> None:
    with pytest.raises(UnauthorizedError):
        signer().verify(token)


@given(
    claims=st.dictionaries(
        st.sampled_from(["sub", "kind", "exp", "jti", "aud", "iss", "email", "nbf"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    )
)
def test_signed_nonsense_is_refused_wherever_pyjwt_refuses_it(claims: dict[str, Any]) -> None:
    token = jwt.api_jws.encode(
        json.dumps({**payload(), **claims}).encode(), SECRET, algorithm="HS256"
    )
    try:
        signer().verify(token)
    except UnauthorizedError:
        return
    other_verify(token)
