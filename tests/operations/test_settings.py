"""What settings refuse, with a sentence that says what to set."""

from __future__ import annotations

import pytest

from engine.settings import Settings, SettingsError


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("ONSALE_TRUSTED_PROXIES", "10.0.0.1/8", "ONSALE_TRUSTED_PROXIES"),
        ("ONSALE_TRUSTED_PROXIES", "the proxy", "ONSALE_TRUSTED_PROXIES"),
        ("ONSALE_DOOR_DIFFICULTY", "-1", "ONSALE_DOOR_DIFFICULTY"),
        ("ONSALE_DOOR_ADDRESS_SOFT", "5000", "ONSALE_DOOR_ADDRESS_HARD"),
        ("ONSALE_DOOR_ADDRESS_SOFT", "0", "ONSALE_DOOR_ADDRESS_SOFT"),
        ("ONSALE_GUESTS_PER_ADDRESS", "-1", "ONSALE_GUESTS_PER_ADDRESS"),
        ("ONSALE_API_PORT", "0", "ONSALE_API_PORT"),
        ("ONSALE_API_PORT", "x", "ONSALE_API_PORT"),
    ],
)
def test_a_wrong_value_is_refused_by_name(variable: str, value: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        Settings.from_environment({variable: value})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ONSALE_TRUSTED_PROXIES", "10.0.0.0/8, 2001:db8::/32,192.0.2.1"),
        ("ONSALE_DOOR_DIFFICULTY", "0"),
        ("ONSALE_DOOR_ADDRESS_HARD", "0"),
        ("ONSALE_CHALLENGES_PER_BUYER", "0"),
        ("ONSALE_GUESTS_PER_ADDRESS", "0"),
    ],
)
def test_a_right_value_is_taken(variable: str, value: str) -> None:
    Settings.from_environment({variable: value})
