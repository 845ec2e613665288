"""Times as text."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.core.times import rfc3339


@pytest.mark.parametrize(
    ("time_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_795_162_190_007, "2026-11-20T08:09:50.007Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_milliseconds_become_utc(time_ms: int, text: str) -> None:
    assert rfc3339(time_ms) == text


@given(st.integers(0, 253_402_300_799_999))
def test_the_text_is_the_same_moment(time_ms: int) -> None:
    found = datetime.fromisoformat(rfc3339(time_ms))
    assert round(found.timestamp() * 1000) == time_ms
