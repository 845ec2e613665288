"""What buyers send to the waiting room, and what the edge alone answers about it."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

ROSTER_COUNT_MAX = 4_096  # leaves an answer: 64 KiB
_INDEX_MAX = 1 << 40
_CHALLENGE_LENGTH_MAX = 4_096
_TICKET_LENGTH_MAX = 255


class JoinRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A wish to stand in line. ``challenge``: the solved proof of work, as the widget gives it."""

    challenge: Annotated[str, Meta(min_length=1, max_length=_CHALLENGE_LENGTH_MAX)] | None = None


class LiveTicketView(msgspec.Struct, kw_only=True):
    """``ticket`` opens one live connection of this buyer to this line, within ``expires_in_ms``."""

    ticket: str
    expires_in_ms: int


class QueueLiveQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``ticket``: from ``POST .../queue/ticket``; it is used up by this request."""

    ticket: Annotated[str, Meta(min_length=1, max_length=_TICKET_LENGTH_MAX)]


class RosterQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``count`` leaves of the roster from the place ``start`` on (from 0)."""

    start: Annotated[int, Meta(ge=0, le=_INDEX_MAX)] = 0
    count: Annotated[int, Meta(ge=1, le=ROSTER_COUNT_MAX)] = ROSTER_COUNT_MAX
