"""GC thresholds: how often Python's cyclic collector runs in a serving process."""

from __future__ import annotations

import gc
from typing import Final

# New objects between two looks, and looks between two deeper ones. Requests and records make no
# such garbage; by its own default (700) Python looks 20 times a batch of requests, which is a tenth
# of a request's time, and a quarter of a record's (measured).
_THRESHOLDS: Final = (50_000, 20, 100)


def look_seldom() -> None:
    """Let this process look for garbage seldom."""
    gc.set_threshold(*_THRESHOLDS)
