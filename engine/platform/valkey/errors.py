"""Failures of reaching Valkey."""

from __future__ import annotations

from engine.core.errors import OnsaleError


class OverloadedError(OnsaleError):
    """A bounded queue is full."""

    code, status, title = "overloaded", 503, "Too many requests at this moment"


class StoreUnavailableError(OnsaleError):
    """Redis cannot be reached; whether the command took effect is unknown: repeat it as it was.

    ``answered``: Redis could be reached, but not run this command.
    """

    code, status, title = "store_unavailable", 503, "The sale cannot be reached at this moment"
    answered = False
