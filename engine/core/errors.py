"""The one tree of errors that a caller can meet, each with a stable code.

Services raise these; they never return ``None`` for a failure. One middleware
(:mod:`engine.http.problems`) renders them as problem+json (RFC 9457). The
``code`` is part of the public interface: it never changes its meaning.
"""

from __future__ import annotations

from typing import Any, ClassVar


class OnsaleError(Exception):
    """A failure that the caller can be told about.

    ``detail`` is one sentence that says what to do next. ``extra`` holds
    further members of the problem document (JSON-serialisable).
    ``retry_after_s`` becomes the ``Retry-After`` header.
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something went wrong"

    def __init__(self, detail: str = "", *, retry_after_s: int | None = None, **extra: Any) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.extra = extra
        self.retry_after_s = retry_after_s


class InvalidRequestError(OnsaleError):
    """The request is malformed; nothing was changed."""

    code, status, title = "invalid_request", 400, "The request is malformed"


class UnauthorizedError(OnsaleError):
    """No token, or one that is not valid any more."""

    code, status, title = "unauthorized", 401, "A valid token is needed"


class ForbiddenError(OnsaleError):
    """The caller is known but may not do this."""

    code, status, title = "forbidden", 403, "This is not allowed"


class NotFoundError(OnsaleError):
    """No such thing, or none that belongs to the caller."""

    code, status, title = "not_found", 404, "There is no such thing here"


class OccurrenceUnknownError(NotFoundError):
    """The occurrence is not published."""

    code, title = "occurrence_unknown", "This occurrence is not published"


class OccurrenceUnreadableError(OccurrenceUnknownError):
    """What Redis has of the occurrence is damaged or half there: it cannot be sold from."""

    code, title = "occurrence_unreadable", "This occurrence cannot be read at this moment"


class HoldUnknownError(NotFoundError):
    """No such hold, or it is another buyer's."""

    code, title = "hold_unknown", "There is no such hold"


class OrderUnknownError(NotFoundError):
    """No such order, or it is another buyer's."""

    code, title = "order_unknown", "There is no such order"


class ConflictError(OnsaleError):
    """The request is well-formed but the state of things forbids it."""

    code, status, title = "conflict", 409, "The state of things does not allow this"


class NotOnSaleError(ConflictError):
    """The sale window is not open."""

    code, title = "not_on_sale", "This is not on sale now"


class SalePausedError(ConflictError):
    """The sale is paused; every deadline stands still meanwhile."""

    code, title = "sale_paused", "The sale is paused"


class LinesUnavailableError(ConflictError):
    """Some lines cannot be had; ``lines`` in the body names each with its reason."""

    code, title = "lines_unavailable", "Some of what was asked for cannot be had"


class SoldOutError(LinesUnavailableError):
    """Every failing line fails because nothing is left at the moment."""

    code, title = "sold_out", "Nothing is left of this at the moment"


class HoldExistsError(ConflictError):
    """The buyer already has an active hold for this occurrence."""

    code, title = "hold_exists", "You already have a hold for this occurrence"


class HoldExpiredError(ConflictError):
    """The hold has run out, was released, or has become an order."""

    code, title = "hold_ended", "This hold has ended"


class NotInsideError(ConflictError):
    """A waiting room is in front of this sale, and the buyer holds no pass."""

    code, title = "not_inside", "Wait in line for this sale: only those inside can hold tickets"


class HoldPauseError(OnsaleError):
    """Too much was held and not bought; ``retry_in_ms``: when the next hold may be made."""

    code, status, title = "hold_pause", 429, "Wait before you hold tickets again"


class NotInQueueError(NotFoundError):
    """The buyer has no place in this line."""

    code, title = "not_in_queue", "You have no place in this line"


class QueueClosedError(ConflictError):
    """Nobody can join this line now; ``reason`` says why, ``opens_at`` when it opens if it will."""

    code, title = "queue_closed", "Nobody can join this line now"


class NotCalledError(ConflictError):
    """The place has not been called yet."""

    code, title = "not_called", "It is not your turn yet"


class PlaceExpiredError(ConflictError):
    """The place was called and not claimed in time, or its pass is over."""

    code, title = "place_expired", "Your turn is over: join again"


class ChallengeError(OnsaleError):
    """The proof of work is missing, wrong, too old, or another buyer's."""

    code, status, title = "challenge_required", 403, "Solve the challenge first"


class TooManyRequestsError(OnsaleError):
    """More than the budget of this address or account allows."""

    code, status, title = "too_many_requests", 429, "Too many requests"


class HoldChangedError(ConflictError):
    """The hold changed while the order was being made; read it and try again."""

    code, title = "hold_changed", "The hold has changed in the meantime"


class HoldEmptyError(ConflictError):
    """The change would leave nothing in the hold; it is released with DELETE instead."""

    code, title = "hold_empty", "Nothing would be left in this hold: release it instead"


class OrderStateError(ConflictError):
    """The order is in a state that does not allow this step."""

    code, title = "order_state", "The order is in another state"


class TotalNotChargeableError(ConflictError):
    """The payment provider cannot charge this total; nothing was changed. ``reason`` says why."""

    code, title = "total_not_chargeable", "This total cannot be charged"


class OrderDisputedError(ConflictError):
    """The buyer's bank has the order's money while it decides: it cannot be given back."""

    code, title = "order_disputed", "The order's payment is disputed"


class BacklogFullError(OnsaleError):
    """The write-behind is too far behind; new holds wait."""

    code, status, title = "backlog_full", 503, "Too many orders are waiting to be written"


class OverloadedError(OnsaleError):
    """A bounded queue is full."""

    code, status, title = "overloaded", 503, "Too many requests at this moment"


class StoreUnavailableError(OnsaleError):
    """Redis cannot be reached; whether the command took effect is unknown: repeat it as it was.

    ``answered``: Redis could be reached, but not run this command.
    """

    code, status, title = "store_unavailable", 503, "The sale cannot be reached at this moment"
    answered = False


class IdempotencyMismatchError(OnsaleError):
    """The same Idempotency-Key was used with another body."""

    code, status, title = (
        "idempotency_mismatch",
        422,
        "This Idempotency-Key was used with another body",
    )


class PaymentUnavailableError(OnsaleError):
    """The payment provider does not answer; the order and its seats are kept."""

    code, status, title = "payment_unavailable", 503, "The payment provider does not answer"


class PaymentRefusedError(OnsaleError):
    """The payment provider refuses the call for good; ``provider_code`` says why."""

    code, status, title = "payment_refused", 402, "The payment provider refuses"


class PaymentMismatchError(PaymentRefusedError):
    """The provider knows this payment with other particulars: it exists, and must be found."""

    code, title = "payment_mismatch", "The payment provider knows this payment differently"


class WebhookRejectedError(OnsaleError):
    """The signature, the time or the body of a webhook is not acceptable."""

    code, status, title = "webhook_rejected", 400, "This webhook is not acceptable"


class DatabaseUnavailableError(OnsaleError):
    """PostgreSQL cannot be reached; the hot plane sells on, the control plane waits."""

    code, status, title = "database_unavailable", 503, "The database cannot be reached"


class MustStopError(OnsaleError):
    """A service must not go on until a person has looked; the message says at what."""

    code, title = "must_stop", "A service has stopped and needs a person"
