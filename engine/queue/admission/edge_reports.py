"""How the serving processes are, second by second: ``{onsale:edge}:seen`` and ``:said``.

Each process tells; whoever lets people in listens.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from redis.asyncio import Redis

from engine.core.errors import InvalidRequestError
from engine.platform.valkey.codes import Code
from engine.platform.valkey.connections import run_one
from engine.platform.valkey.packing import unpack

_PREFIX: Final = "{onsale:edge}"
SILENT_MS: Final = 5_000  # as in lua/edge_report.lua
PROCESSES_MAX: Final = 1_000  # the same
VALUE_MAX: Final = 10**9  # the same


class Pulse(msgspec.Struct, frozen=True, kw_only=True):
    """The last seconds of a process, of those inside (:mod:`engine.queue.admission.samples`).

    ``hold_us``, ``checkout_us``: the time within which half of those who got a hold
    or an order were answered, 0 when they were few. ``lag_us``: how late the event
    loop came to a timer, every other time. ``payments``: buyers who needed the
    payment provider; ``failures`` of them got no answer of it.
    """

    process: str
    hold_us: int = 0
    checkout_us: int = 0
    lag_us: int = 0
    payments: int = 0
    failures: int = 0


async def report_pulse(client: Redis, pulse: Pulse) -> int:
    """Tell how a process is. Returns how many are heard of. Raises ``RedisError``."""
    values = (pulse.hold_us, pulse.checkout_us, pulse.lag_us, pulse.payments, pulse.failures)
    bounded = [min(value, VALUE_MAX) for value in values]
    answer = await run_one(client, "edge_report", _PREFIX, [pulse.process, *bounded])
    if answer[0] != Code.OK:
        raise InvalidRequestError("this is no pulse of a process")
    count: int = answer[1]
    return count


async def read_pulses(client: Redis) -> list[Pulse]:
    """Return the pulses of all processes that were heard of lately. Raises ``RedisError``."""
    async with client.pipeline(transaction=False) as pipe:
        pipe.time()
        pipe.hgetall(f"{_PREFIX}:said")
        (seconds, micros), said = await pipe.execute()
    silent_since = seconds * 1000 + micros // 1000 - SILENT_MS
    found = []
    for process, packed in said.items():
        at, *values = unpack(packed)
        if at > silent_since:
            found.append(_pulse(process, values))
    return found


def _pulse(process: bytes, values: list[Any]) -> Pulse:
    hold_us, checkout_us, lag_us, payments, failures = values
    return Pulse(
        process=process.decode(),
        hold_us=hold_us,
        checkout_us=checkout_us,
        lag_us=lag_us,
        payments=payments,
        failures=failures,
    )
