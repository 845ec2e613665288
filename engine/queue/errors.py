"""Failures of the waiting room."""

from __future__ import annotations

from engine.core.errors import ConflictError, NotFoundError, OnsaleError


class NotInQueueError(NotFoundError):
    """The buyer has no place in this line."""

    code, title = "not_in_queue", "You have no place in this line"


class QueueClosedError(ConflictError):
    """Nobody can join this line now; ``reason`` says why, ``opens_at`` when it opens if it will."""

    code, title = "queue_closed", "Nobody can join this line now"
    may_retry = True


class NotCalledError(ConflictError):
    """The place has not been called yet."""

    code, title = "not_called", "It is not your turn yet"


class PlaceExpiredError(ConflictError):
    """The place was called and not claimed in time, or its pass is over."""

    code, title = "place_expired", "Your turn is over: join again"


class ChallengeError(OnsaleError):
    """The proof of work is missing, wrong, too old, or another buyer's."""

    code, status, title = "challenge_required", 403, "Solve the challenge first"
