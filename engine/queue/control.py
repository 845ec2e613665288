"""The control API: what operators do to running sales, on a listener of its own.

Who has the service token may do everything here, so it listens on loopback
unless told otherwise, and belongs behind whatever signs operators in.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import UNSET, Meta, UnsetType

from engine.core.errors import InvalidRequestError
from engine.platform.http.pipeline import answer
from engine.platform.http.route import Call
from engine.queue import operating
from engine.queue.operating import Step
from engine.sale.state import SALE

_PEOPLE_MAX = 1_000_000
_HOUR_MS = 3_600_000
_People = Annotated[int, Meta(ge=1, le=_PEOPLE_MAX)]
_UpToAnHour = Annotated[int, Meta(ge=1, le=_HOUR_MS)]
_UpToADay = Annotated[int, Meta(ge=1, le=24 * _HOUR_MS)]


class LineChange(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What is to be changed of a line; see :class:`LineView`. At least one member."""

    rate: _People | UnsetType = UNSET
    rate_ms: _UpToAnHour | UnsetType = UNSET
    cap: _People | UnsetType = UNSET
    claim_ms: _UpToAnHour | UnsetType = UNSET
    shop_ms: _UpToADay | UnsetType = UNSET


async def read_line(call: Call) -> web.Response:
    """Answer with all figures of a line."""
    return answer(await operating.read_line(call.request.app[SALE], call.path("occurrence")))


async def take_step(call: Call) -> web.Response:
    """Open, pause, resume, drain or close the line, or switch the room on or off."""
    step = msgspec.convert(call.path("step"), Step)
    return answer(
        await operating.take_step(call.request.app[SALE], call.path("occurrence"), call.actor, step)
    )


async def change_line(call: Call) -> web.Response:
    """Change the rate, the cap or the times of the line."""
    change: LineChange = call.body
    values = {
        name: value for name, value in msgspec.structs.asdict(change).items() if value is not UNSET
    }
    if not values:
        raise InvalidRequestError("Name at least one thing to change", path="$")
    return answer(
        await operating.change_line(
            call.request.app[SALE], call.path("occurrence"), call.actor, values
        )
    )
