"""Failures on demand, for tests: what the next calls do instead of answering."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from devkit.stripe.errors import ApiError, rate_limited, server_error

FAULTS_MAX = 100
Phase = Literal["before", "after"]


class Fault(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What the next ``count`` matching calls do.

    ``mode``: "error" answers 500 (and keeps it under the idempotency key),
    "unavailable" 503, "rate_limit" 429, "lock" 409; "refuse" answers ``status``
    with ``code`` and ``param``, as for a parameter that is not right; "hang" does
    not answer until the faults are cleared; "delay" waits ``delay_s`` and goes on;
    "drop" cuts the connection. ``when``: before the work, or after it is done and
    written down. ``path`` is a part of the path.
    """

    mode: Literal["error", "unavailable", "rate_limit", "lock", "refuse", "hang", "delay", "drop"]
    when: Phase = "before"
    count: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    path: str = ""
    method: str = ""
    status: Annotated[int, Meta(ge=400, le=499)] = 400  # of "refuse"
    code: str = "parameter_invalid"
    param: str = ""
    delay_s: Annotated[float, Meta(ge=0, le=60)] = 1.0  # of "delay"


class Faults:
    """The faults that are waiting, at most 100; the first that matches is used."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._cleared = asyncio.Event()

    def __iter__(self) -> Iterator[Fault]:
        return iter(self._faults)

    def add(self, fault: Fault) -> None:
        """Let the next calls fail. Raises ``ValueError`` when too many faults wait."""
        if len(self._faults) >= FAULTS_MAX:
            raise ValueError(f"at most {FAULTS_MAX} faults can wait: clear them")
        self._faults.append(fault)

    def clear(self) -> None:
        """Forget the faults that wait, and let the calls that hang go on."""
        self._faults.clear()
        self._cleared.set()
        self._cleared = asyncio.Event()

    def take(self, phase: Phase, method: str, path: str) -> Fault | None:
        """Return the fault for this call, if there is one, and count it."""
        for index, fault in enumerate(self._faults):
            if fault.when != phase or fault.path not in path or fault.method not in ("", method):
                continue
            fault.count -= 1
            if fault.count == 0:
                del self._faults[index]
            return fault
        return None

    async def hang(self) -> None:
        """Wait until the faults are cleared."""
        await self._cleared.wait()


def answer(fault: Fault) -> ApiError | None:
    """Return the error that the fault answers with, None when it does not answer."""
    if fault.mode == "error":
        return server_error()
    if fault.mode == "unavailable":
        return server_error(503)
    if fault.mode == "rate_limit":
        return rate_limited()
    if fault.mode == "lock":
        return ApiError(
            409,
            "invalid_request_error",
            "This object cannot be accessed now: another request has it",
            code="lock_timeout",
        )
    if fault.mode == "refuse":
        return ApiError(
            fault.status,
            "invalid_request_error",
            "Refused on demand",
            code=fault.code,
            param=fault.param or None,
        )
    return None
