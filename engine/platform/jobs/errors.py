"""Failures of jobs."""

from __future__ import annotations

from engine.core.errors import OnsaleError


class MustStopError(OnsaleError):
    """A service must not go on until a person has looked; the message says at what."""

    code, title = "must_stop", "A service has stopped and needs a person"
