"""What settings refuse, with a sentence that says what to set."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.setting_rules import is_host
from engine.core.settings import RULES, SECRETS, Settings, SettingsError, variable

PROJECT = Path(__file__).parents[2]
PRODUCTION = {
    "ONSALE_ENVIRONMENT": "production",
    "ONSALE_PUBLIC_URL": "https://tickets.example.org",
    "ONSALE_TOKEN_SECRET": "t" * 40,
    "ONSALE_CONTROL_TOKEN": "c" * 40,
    "STRIPE_SECRET_KEY": "sk_live_" + "s" * 24,
    "STRIPE_PUBLISHABLE_KEY": "pk_live_" + "p" * 24,
    "STRIPE_WEBHOOK_SECRET": "whsec_" + "w" * 32,
}

TEXTS = ["   ", "\t", "é", "a b", "x\n", "\0"]
NUMBERS = [
    "nan",
    "NaN",
    "inf",
    "-inf",
    "infinity",
    "1e999",
    "-1",
    "x",
    "1_000",
    " 5",
    "0x10",
    "1,5",
]
WHOLE = [*NUMBERS, "1.5", "1e3", "9" * 30]
SITES = [
    *("tickets.example.org", "//tickets.example.org", "https://", "https:///", "https:tickets.org"),
    *("ftp://tickets.example.org", "https://tickets.example.org/shop", "https://a.org?x=1"),
    *("https://a.org?", "https://a.org#", "https://a.org#top", "https://user@a.org"),
    *("https://user:word@a.org", "https://@a.org", "https://a.org:0", "https://a.org:99999"),
    *("https://a.org:x", "https://a.org:", "https://a b.org", "https://a..org", "https://-a.org"),
    *(
        "https://münchen.example",
        "https://[::1",
        "https://1.2.3",
        "https://300.1.1.1",
        "javascript:x",
    ),
    *(
        "https://a.org\\\\@b.org",
        "https://a_b.org",
        "https://*.a.org",
        "garbage",
        "null",
        "https://a.org//",
    ),
]
HOSTS = ["a b", "http://a", "a:80", "300.1.1.1", "-a", "a..b", "[::1]", "127.0.0.1/8", "*"]
SERVERS = ["localhost:6379", "http://a:1", "redis:", "://", "redis://", "postgresql://", "x://a"]
GARBAGE: dict[str, list[str]] = {
    "environment": ["prod", "Production", "test"],
    "redis_url": [*SERVERS, "redis://a:x", "redis://a:0", "redis://a:99999", "postgresql://a"],
    "database_url": [*SERVERS, "postgresql://a:x", "postgresql://a:99999", "mysql://a/b"],
    "token_secret": ["short", "x" * 31, "x" * 600, "with space " * 4],
    "control_token": ["short", "x" * 31, "x" * 600, "with space " * 4],
    "stripe_secret_key": ["sk_live_", "pk_live_abc", "whsec_abc", "garbage", "sk_abc"],
    "stripe_publishable_key": ["pk_live_", "sk_live_abc", "whsec_abc", "garbage"],
    "stripe_webhook_secret": ["whsec_", "sk_live_abc", "garbage", "whsec"],
    "stripe_api_base": ["api.stripe.com", "ftp://a", "https://", "https://a?b", "https://u@a"],
    "public_url": SITES,
    "installation": ["x" * 201, "a\nb", "\x00", "\u2028"],
    "trusted_proxies": ["10.0.0.1/8", "the proxy", "10.0.0.0/8;192.0.2.1", "300.0.0.0/8", "::/200"],
    **dict.fromkeys(("api_host", "control_host", "metrics_host"), HOSTS),
}
SCHEMES = {"redis_url", "database_url", "stripe_api_base", "public_url"}


def garbage(field: str, kind: str) -> list[str]:
    if kind == "int":
        return WHOLE
    if kind == "float":
        return [*NUMBERS, "0", "1e9", "0.0000001"]
    blank = [] if field in {"trusted_proxies", "installation"} else TEXTS
    return [*blank, *GARBAGE[field]]


CASES = [
    (field.name, value)
    for field in fields(Settings)
    for value in garbage(field.name, str(field.type))
]


def test_every_setting_has_a_rule_and_every_rule_a_setting() -> None:
    assert set(RULES) == {field.name for field in fields(Settings)}
    Settings().validate()


@pytest.mark.parametrize(("field", "value"), CASES)
def test_garbage_is_refused_by_name(field: str, value: str) -> None:
    with pytest.raises(SettingsError, match=variable(field)):
        Settings.from_environment({variable(field): value})


@pytest.mark.parametrize("field", [f.name for f in fields(Settings) if str(f.type) != "str"])
def test_every_number_has_a_top(field: str) -> None:
    for value in ("999999999999999", "99999999999"):
        with pytest.raises(SettingsError, match=variable(field)):
            Settings.from_environment({variable(field): value})


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("ONSALE_TRUSTED_PROXIES", "10.0.0.1/8", "ONSALE_TRUSTED_PROXIES"),
        ("ONSALE_DOOR_ADDRESS_SOFT", "5000", "ONSALE_DOOR_ADDRESS_HARD"),
        ("ONSALE_DOOR_ADDRESS_SOFT", "0", "ONSALE_DOOR_ADDRESS_SOFT"),
        ("ONSALE_GUESTS_PER_ADDRESS", "-1", "ONSALE_GUESTS_PER_ADDRESS"),
        ("ONSALE_API_PORT", "0", "ONSALE_API_PORT"),
        ("ONSALE_CONTROL_PORT", "0", "ONSALE_CONTROL_PORT"),
        ("ONSALE_API_PORT", "65536", "ONSALE_API_PORT"),
        ("ONSALE_HTTP_STOP_S", "8", "ONSALE_HTTP_STOP_S"),
    ],
)
def test_a_wrong_value_is_refused_by_name(name: str, value: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        Settings.from_environment({name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ONSALE_TRUSTED_PROXIES", "10.0.0.0/8, 2001:db8::/32,192.0.2.1"),
        ("ONSALE_DOOR_DIFFICULTY", "0"),
        ("ONSALE_DOOR_ADDRESS_HARD", "0"),
        ("ONSALE_CHALLENGES_PER_BUYER", "0"),
        ("ONSALE_GUESTS_PER_ADDRESS", "0"),
        ("ONSALE_LIVE_SOCKETS_OF_ONE_MAX", "0"),
        ("ONSALE_API_METRICS_PORT", "0"),
        ("ONSALE_WORKER_METRICS_PORT", "0"),
        ("ONSALE_PUBLIC_URL", "http://localhost:8080"),
        ("ONSALE_PUBLIC_URL", "https://tickets.example.org:8443"),
        ("ONSALE_PUBLIC_URL", "https://[2001:db8::1]:8443"),
        ("ONSALE_PUBLIC_URL", "https://xn--mnchen-3ya.example"),
        ("ONSALE_API_HOST", "::"),
        ("ONSALE_API_HOST", "localhost"),
        ("REDIS_URL", "rediss://user:word@valkey_1.internal:6380/3"),
        ("DATABASE_URL", "postgresql://onsale:pass%20word@postgres:5432/onsale?sslmode=require"),
        ("STRIPE_API_BASE", "http://127.0.0.1:12111"),
        ("STRIPE_SECRET_KEY", "rk_live_abc"),
        ("ONSALE_PROVIDER_TIMEOUT_S", "2.5"),
        ("ONSALE_HTTP_HEAD_S", "1e1"),
    ],
)
def test_a_right_value_is_taken(name: str, value: str) -> None:
    Settings.from_environment({name: value})


def test_a_slash_at_the_end_of_the_site_is_taken_off() -> None:
    found = Settings.from_environment({"ONSALE_PUBLIC_URL": "https://tickets.example.org/"})
    assert found.public_url == "https://tickets.example.org"


def test_production_starts_with_what_it_needs() -> None:
    assert Settings.from_environment(PRODUCTION).environment == "production"


@pytest.mark.parametrize("name", [name for name in PRODUCTION if name != "ONSALE_ENVIRONMENT"])
@pytest.mark.parametrize("value", [None, "", " ", "\t ", "garbage"])
def test_production_refuses_what_is_missing_blank_or_garbage(name: str, value: str | None) -> None:
    changed = {key: text for key, text in PRODUCTION.items() if key != name}
    if value is not None:
        changed[name] = value
    with pytest.raises(SettingsError, match=name):
        Settings.from_environment(changed)


@pytest.mark.parametrize("url", ["http://tickets.example.org", "http://127.0.0.1:8080"])
def test_production_refuses_a_site_without_tls(url: str) -> None:
    with pytest.raises(SettingsError, match="ONSALE_PUBLIC_URL"):
        Settings.from_environment({**PRODUCTION, "ONSALE_PUBLIC_URL": url})


@pytest.mark.parametrize("one", SECRETS)
@pytest.mark.parametrize("other", SECRETS)
def test_production_refuses_equal_secrets(one: str, other: str) -> None:
    found = Settings.from_environment(PRODUCTION)
    values = {field.name: getattr(found, field.name) for field in fields(Settings)}
    values[one] = values[other]
    if one == other:
        Settings(**values).validate()
        return
    with pytest.raises(SettingsError) as refused:
        Settings(**values).validate()
    assert variable(one) in str(refused.value)


def test_production_refuses_keys_of_two_modes() -> None:
    with pytest.raises(SettingsError, match="both be live or both test"):
        Settings.from_environment({**PRODUCTION, "STRIPE_SECRET_KEY": "sk_test_abc"})


@pytest.mark.parametrize("field", SECRETS)
def test_no_secret_is_shown(field: str) -> None:
    value = "very secret \u00e9"
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment({variable(field): value})
    assert "very" not in str(refused.value)


@pytest.mark.parametrize(
    "arguments", [["api"], ["control"], ["worker"], ["api", "--host", "not a host"]]
)
def test_a_command_ends_with_a_sentence_and_code_2(arguments: list[str], tmp_path: Path) -> None:
    more = {} if len(arguments) > 1 else {"ONSALE_PROVIDER_TIMEOUT_S": "nan"}
    clean = {name: text for name, text in os.environ.items() if not name.startswith("ONSALE_")}
    result = subprocess.run(
        [sys.executable, "-m", "engine.app.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=60,
        env={**clean, **more, "PYTHONPATH": str(PROJECT)},
    )
    assert result.returncode == 2
    assert ("ONSALE_API_HOST" if not more else "ONSALE_PROVIDER_TIMEOUT_S=") in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@given(st.text(max_size=80))
def test_no_site_is_an_unexpected_error(text: str) -> None:
    found = RULES["public_url"](text)
    assert found is None or found.startswith("must")
    for rule in (RULES["redis_url"], RULES["stripe_api_base"], RULES["api_host"]):
        rule(text)
    is_host(text)
