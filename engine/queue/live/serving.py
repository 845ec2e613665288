"""The one document about a line that is the same for everybody."""

from __future__ import annotations

import zlib
from typing import Literal

import msgspec

from engine.sale.inventory.stock import TicketState

LineState = Literal["off", "planned", "pre-queue", "open", "paused", "draining", "closed"]

_encoder = msgspec.json.Encoder()


class LeftView(msgspec.Struct, kw_only=True, gc=False):
    """What can be had of a ticket type, and for how much (minor units); null: for nothing now.

    Before the sale: at its opening. ``price_display``: the price as people read it.
    ``on_map_only``: so many more for those who choose them on the map.
    """

    ticket_type: str
    name: str
    left: int
    price_from: int | None
    price_display: str | None = None
    state: TicketState = "available"
    on_map_only: int = 0


class ServingView(msgspec.Struct, kw_only=True, gc=False):
    """Where the line stands. ``serving``: numbers up to it have been called.

    ``places``: given out so far; ``waiting``: of them still to be called.
    ``calls_per_minute``: measured, or what the operator allows before it moves.
    ``sold_out``: nothing is left, nothing is in carts, and no price is still to come.
    ``drawn``: whoever joined before the opening has a number: ask for it.
    ``joining_in_ms``: until people can join, before the pre-queue. ``version``:
    another one, another content (a CRC-32; the countdowns do not count).
    """

    version: int
    state: LineState
    serving: int
    places: int
    waiting: int
    calls_per_minute: int
    left: list[LeftView]
    currency: str
    sold_out: bool
    opens_at: str
    opens_in_ms: int | None
    joining_in_ms: int | None
    drawn: bool


def stamped(view: ServingView) -> ServingView:
    """Return the document with its version; the countdowns are for the caller to set after it."""
    view.version = 0
    view.opens_in_ms = view.joining_in_ms = None
    view.version = zlib.crc32(_encoder.encode(view))
    return view
