"""What a buyer may ask for. The same structs validate and make the OpenAPI document.

Bounds here keep every list short; the store's scripts check again what they
are given. Seats are named by the ``guid`` of the seating plan, ticket types by
their ``code``.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from engine.core.emails import EMAIL_LENGTH_MAX, email_address
from engine.core.errors import InvalidRequestError

LINES_MAX = 20
SEATS_MAX = 100

Code = Annotated[str, Meta(min_length=1, max_length=64)]
Guid = Annotated[str, Meta(min_length=1, max_length=64)]
Quantity = Annotated[int, Meta(ge=1, le=SEATS_MAX)]


class LineRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, gc=False):
    """Tickets of one type: name the ``seats``, or give a ``quantity``.

    A quantity of an assigned type asks for the best available seats, together
    in one row; ``allow_split`` accepts the nearest seats apart when no row has
    room for all.
    """

    ticket_type: Code
    seats: Annotated[list[Guid], Meta(min_length=1, max_length=SEATS_MAX)] | None = None
    quantity: Quantity | None = None
    allow_split: bool = False


class HoldRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, gc=False):
    """A new hold: all lines, or none."""

    lines: Annotated[list[LineRequest], Meta(min_length=1, max_length=LINES_MAX)]


class RemoveRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Give back named seats, or a quantity of a general type."""

    ticket_type: Code
    seats: Annotated[list[Guid], Meta(min_length=1, max_length=SEATS_MAX)] | None = None
    quantity: Quantity | None = None


class HoldChange(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Additions and removals, applied together or not at all."""

    add: Annotated[list[LineRequest], Meta(max_length=LINES_MAX)] = []
    remove: Annotated[list[RemoveRequest], Meta(max_length=LINES_MAX)] = []


Email = Annotated[
    str, Meta(min_length=3, max_length=EMAIL_LENGTH_MAX, extra_json_schema={"format": "email"})
]

# Names reach e-mail headers, PDFs and PostgreSQL: no control characters, no line separators ($
# alone lets a \n by).
PlainText = Annotated[
    str, Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$(?!\n)")
]


def checked_email(text: str) -> str:
    """Return an address as it is kept. Raises ``InvalidRequestError`` with its path."""
    try:
        return email_address(text)
    except ValueError as error:
        raise InvalidRequestError(f"{error}: correct it and try again", path="$.email") from error


class CheckoutRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Who buys. ``attendees``: one name a ticket, in the order of the hold's lines."""

    email: Email
    name: Annotated[PlainText, Meta(min_length=1)]
    attendees: Annotated[list[PlainText], Meta(max_length=SEATS_MAX)] = []

    def __post_init__(self) -> None:
        self.email = checked_email(self.email)
