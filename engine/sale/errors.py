"""Failures of holds, orders and what is sold."""

from __future__ import annotations

from engine.core.errors import ConflictError, NotFoundError, OnsaleError


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
