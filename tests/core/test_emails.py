"""One rule for e-mail addresses, wherever they come in."""

from __future__ import annotations

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import assume, given
from hypothesis import strategies as st

from engine.core.emails import EMAIL_LENGTH_MAX, email_address
from engine.core.settings import Settings
from engine.core.tokens import TOKEN_LENGTH_MAX, TokenSigner

_LONG_DOMAIN = ".".join(["d" * 63] * 3)


@pytest.mark.parametrize(
    ("given_as", "kept_as"),
    [
        ("ada@example.org", "ada@example.org"),
        ("Ada.Lovelace+tickets@Example.ORG", "Ada.Lovelace+tickets@example.org"),
        ("o'neil@example.org", "o'neil@example.org"),
        ("ada@box-office.test", "ada@box-office.test"),
        ("ada@bücher.example.org", "ada@xn--bcher-kva.example.org"),
        (f"{'a' * 62}@{_LONG_DOMAIN}", f"{'a' * 62}@{_LONG_DOMAIN}"),
    ],
)
def test_an_address_is_kept_in_ascii(given_as: str, kept_as: str) -> None:
    assert email_address(given_as) == kept_as
    assert email_address(kept_as) == kept_as


@pytest.mark.parametrize(
    "text",
    [
        *("", "ada", "@", "ada@", "@example.org", "ada@example", "a@b@example.org"),
        *("a..b@example.org", ".a@example.org", "a.@example.org", "a b@example.org"),
        *("ada@example..org", "ada@-example.org", "ada@example.org.", "ada@exa_mple.org"),
        *(
            '"a b"@example.org',
            "ada@[127.0.0.1]",
            "Ada <ada@example.org>",
            "ada@example.org,b@c.de",
        ),
        *("ädä@example.org", "ада@example.org", "ada@example.org\n", "ada\0@example.org"),
        *("\u202eada@example.org", "ada\u00a0@example.org", "ada@exam\u2028ple.org"),
        *("ada@localhost", "ada@test", "ada@host.invalid", "ada@printer.local"),
        f"{'a' * 65}@example.org",
        f"{'a' * 64}@{_LONG_DOMAIN}",
        f"a@{'ü' * 60}.example.org",  # short in characters, long in octets
        f"a@{'.'.join(['üüüüüüüüüü'] * 20)}.org",
        "a" * 10_000,
    ],
)
def test_anything_else_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"e-mail address"):
        email_address(text)


@given(st.emails())
def test_what_is_kept_is_taken_again_and_fits_everywhere(text: str) -> None:
    try:
        kept = email_address(text)
    except ValueError:
        assume(False)
        return
    assert kept.isascii()
    assert len(kept.encode()) <= EMAIL_LENGTH_MAX
    assert email_address(kept) == kept


@given(
    st.text("abcxyz0189!#$%&'*+/=?^_`{|}~-", min_size=1, max_size=64),
    st.lists(st.text("abcdefxyz", min_size=1, max_size=63), min_size=2, max_size=4),
)
def test_the_token_of_any_address_is_accepted(local: str, labels: list[str]) -> None:
    text = f"{local}@{'.'.join(labels)}"
    try:
        validate_email(text, check_deliverability=False)
    except EmailNotValidError:
        assume(False)
    signer = TokenSigner(Settings().token_secret)
    kept = email_address(text)
    token = signer.issue_guest(kept, 60)
    assert len(token) <= TOKEN_LENGTH_MAX
    assert signer.verify(token).email == kept
