"""How those inside were served lately: the only thing of the edge that the line goes by.

What strangers send must not steer a line. So a sample is taken only of a hold that was
granted and of a checkout that was made, for which the script has seen a pass where one is
needed; and its time is the engine's own: from the moment at which the whole request is
there until its answer can be written. Each buyer is counted once, however often they ask.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from aiohttp import web

from engine.payments.errors import PaymentRefusedError, PaymentUnavailableError

SECONDS: Final = 3  # of holds and checkouts: one hiccup is no trend
PAYMENT_SECONDS: Final = 10  # payments are seldom, and their failures take long
BUYERS_MAX: Final = 1_000  # a second, a kind: enough to know the middle of them by

Value = TypeVar("Value")
Made = TypeVar("Made")


class Samples(Generic[Value]):
    """The newest sample of each buyer in the last ``seconds``; :meth:`turn` once a second."""

    def __init__(self, seconds: int) -> None:
        self._newest: dict[str, Value] = {}
        self._seconds: deque[dict[str, Value]] = deque([self._newest], maxlen=seconds)

    def add(self, buyer: str, value: Value) -> None:
        """Take a sample."""
        newest = self._newest
        if len(newest) < BUYERS_MAX or buyer in newest:
            newest[buyer] = value

    def turn(self) -> list[Value]:
        """Return one sample of each buyer, and begin another second."""
        found: dict[str, Value] = {}
        for second in self._seconds:
            found |= second
        self._newest = {}
        self._seconds.append(self._newest)
        return list(found.values())


class InsideSamples:
    """Those of a process. ``holds``, ``checkouts``: seconds; ``payments``: was there an answer."""

    def __init__(self) -> None:
        self.holds: Samples[float] = Samples(SECONDS)
        self.checkouts: Samples[float] = Samples(SECONDS)
        self.payments: Samples[bool] = Samples(PAYMENT_SECONDS)

    async def paying(
        self, buyer: str, asking: Awaitable[Made], asked: Callable[[Made], bool]
    ) -> Made:
        """Return what comes of a request that may ask the provider; ``asked``: whether it did.

        A refusal is an answer: anybody can have a card declined, nobody but the provider
        can be away.
        """
        try:
            made = await asking
        except PaymentUnavailableError:
            self.payments.add(buyer, False)
            raise
        except PaymentRefusedError:
            self.payments.add(buyer, True)
            raise
        if asked(made):
            self.payments.add(buyer, True)
        return made


def since(began: float) -> float:
    """Return the seconds since ``began``, a reading of the clock that requests are timed by."""
    return time.perf_counter() - began


SAMPLES = web.AppKey("inside_samples", InsideSamples)
