"""Turns the scripts' result codes into the errors that callers are told about."""

from __future__ import annotations

from typing import Any, NoReturn

from engine.core.errors import InvalidRequestError, OnsaleError
from engine.core.times import rfc3339
from engine.platform.http.errors import IdempotencyMismatchError
from engine.platform.valkey.codes import Code, LineCode
from engine.sale.errors import (
    HoldChangedError,
    HoldEmptyError,
    HoldExistsError,
    HoldExpiredError,
    HoldPauseError,
    HoldUnknownError,
    LinesUnavailableError,
    NotInsideError,
    NotOnSaleError,
    OccurrenceUnknownError,
    OrderStateError,
    OrderUnknownError,
    SalePausedError,
    SoldOutError,
)
from engine.sale.inventory.occurrences import Published

_NAMES = {
    LineCode.UNKNOWN_TYPE: "unknown_ticket_type",
    LineCode.NOT_ON_SALE: "not_on_sale",
    LineCode.SOLD_OUT: "sold_out",
    LineCode.SEATS_TAKEN: "seats_taken",
    LineCode.WRONG_SEATS: "wrong_seats",
    LineCode.NOT_TOGETHER: "not_together",
    LineCode.MIN: "below_minimum",
    LineCode.MAX: "above_maximum",
    LineCode.ORDER_MAX: "above_order_maximum",
    LineCode.BUYER_MAX: "above_buyer_maximum",
    LineCode.NOT_HELD: "not_held",
}
_WITH_LIMIT = {LineCode.MIN, LineCode.MAX, LineCode.ORDER_MAX, LineCode.BUYER_MAX}
_WITH_SEATS = {LineCode.SEATS_TAKEN, LineCode.WRONG_SEATS}


def raise_failure(published: Published, answer: list[Any]) -> NoReturn:
    """Raise the error that an answer other than OK stands for."""
    code = answer[0]
    if code == Code.LINES:
        raise lines_failure(published, answer[1])
    if code == Code.HOLD_EXISTS:
        hold = answer[1].decode()
        raise HoldExistsError(
            f"You already have hold {hold} for this occurrence: change it, or release it first",
            hold=hold,
        )
    if code == Code.HOLD_ENDED:
        how, order = answer[1].decode(), answer[2].decode()
        extra = {"order": order} if order else {}
        raise HoldExpiredError(f"This hold has ended: it was {how}", how=how, **extra)
    if code == Code.HOLD_PAUSE:
        raise _hold_pause(answer[1], answer[2].decode())
    if code == Code.NOT_ON_SALE:
        raise _not_on_sale(published)
    error = _PLAIN.get(code, InvalidRequestError)
    raise error


def _hold_pause(wait_ms: int, whose: str) -> HoldPauseError:
    return HoldPauseError(
        _HOLD_PAUSES[whose], retry_after_s=-(-wait_ms // 1000), retry_in_ms=wait_ms, whose=whose
    )


_HOLD_PAUSES = {
    "buyer": "You held tickets again and again without buying them: others may have them now",
    "network": "Tickets are short, and many were held from your network without being bought",
}


def _not_on_sale(published: Published) -> NotOnSaleError:
    opens, closes = published.snapshot.sale_starts_at, published.snapshot.sale_ends_at
    return NotOnSaleError(
        f"The sale runs from {rfc3339(opens)} to {rfc3339(closes)}",
        opens_at=rfc3339(opens),
        closes_at=rfc3339(closes),
    )


_PLAIN: dict[int, type[OnsaleError]] = {
    Code.NOT_PUBLISHED: OccurrenceUnknownError,
    Code.PAUSED: SalePausedError,
    Code.NOT_INSIDE: NotInsideError,
    Code.HOLD_UNKNOWN: HoldUnknownError,
    Code.HOLD_CHANGED: HoldChangedError,
    Code.HOLD_EMPTY: HoldEmptyError,
    Code.ORDER_UNKNOWN: OrderUnknownError,
    Code.ORDER_STATE: OrderStateError,
    Code.KEY_REUSED: IdempotencyMismatchError,
}


def lines_failure(published: Published, failures: list[list[Any]]) -> LinesUnavailableError:
    """Return the error for failing lines ``[line, code, detail]``: every one is named."""
    lines = [_line_failure(published, failure) for failure in failures]
    sold_out = all(line["code"] == "sold_out" and line["left"] == 0 for line in lines)
    kind = SoldOutError if sold_out else LinesUnavailableError
    return kind(lines=lines)


def _line_failure(published: Published, failure: list[Any]) -> dict[str, Any]:
    index, code, *detail = failure
    line: dict[str, Any] = {"line": index, "code": _NAMES[LineCode(code)]}
    if code == LineCode.SOLD_OUT:
        line["left"] = detail[0]
    elif code in _WITH_LIMIT:
        line["limit"] = detail[0]
    elif code in _WITH_SEATS:
        line["seats"] = seat_names(published, detail[0])
    return line


def seat_names(published: Published, seats: list[int]) -> list[str]:
    """Return the guids of ``[section, position, ...]``; what is no seat is left out."""
    views = published.seat_views
    return [
        views[section][position].guid
        for section, position in zip(seats[::2], seats[1::2], strict=True)
        if section < len(views) and position in views[section]
    ]
