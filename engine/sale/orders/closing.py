"""Closes orders that are due at the payment provider, beside the sweep that finds them.

A provider that hangs holds up nobody's hold: the sweep only hands over. What is
under way is bounded, each order is under way once, and one that cannot be
closed is looked at again after a pause that doubles with each attempt.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Final

from engine.core.errors import OnsaleError
from engine.payments.errors import PaymentRefusedError, PaymentUnavailableError
from engine.sale import metrics
from engine.sale.commands import Commands
from engine.sale.documents import Order
from engine.sale.inventory.occurrences import Published
from engine.sale.orders.settlement import AGAIN_MS, Settlement

log = logging.getLogger(__name__)

AT_ONCE_MAX: Final = 16  # calls to the provider at the same time
OPEN_MAX: Final = 1_000  # orders handed over and not done; others are told again by the sweep
LONGEST_MS: Final = 3_600_000  # the pause between two attempts stops growing here
_WAIT_S: Final = 1.5  # for what a round has begun, while the provider answers in time
_WAIT_SLOW_S: Final = 0.25  # else


class Closing:
    """See the module. :meth:`stop` before the store is stopped."""

    def __init__(self, commands: Commands, settlement: Settlement) -> None:
        self._commands = commands
        self._settlement = settlement
        self._turns = asyncio.Semaphore(AT_ONCE_MAX)
        self._open: dict[str, asyncio.Task[bool]] = {}
        self._slow = False

    def begin(self, published: Published, order: str) -> asyncio.Task[bool] | None:
        """Begin to close an order; None when it is under way, or too many are.

        The task returns whether the order changed, and never raises.
        """
        if order in self._open or len(self._open) >= OPEN_MAX:
            return None
        task = asyncio.create_task(self._close(published, order), name=f"close {order}")
        self._open[order] = task
        task.add_done_callback(lambda _: self._ended(order))
        metrics.CLOSING.set(len(self._open))
        return task

    async def wait(self, begun: Sequence[asyncio.Task[bool]]) -> int:
        """Wait a little for what was begun, and return how many orders of it have changed.

        So a healthy provider sets the pace of the rounds; one that hangs does not.
        """
        if not begun:
            return 0
        done, late = await asyncio.wait(begun, timeout=_WAIT_SLOW_S if self._slow else _WAIT_S)
        self._slow = bool(late)
        return sum(task.result() for task in done if not task.cancelled())

    async def stop(self) -> None:
        """Cancel what is under way; the next worker goes on from there."""
        tasks = list(self._open.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, order: str) -> None:
        del self._open[order]
        metrics.CLOSING.set(len(self._open))

    async def _close(self, published: Published, order_id: str) -> bool:
        async with self._turns:
            try:
                order = await self._settlement.read(published, order_id)
                after = await self._settlement.close(published, order)
            except OnsaleError as error:
                log.warning("order %s cannot be closed now: %s", order_id, error)
                metrics.FAILED.labels(_cause(error)).inc()
            except Exception:
                log.exception("order %s cannot be closed", order_id)
                metrics.FAILED.labels("mistake").inc()
            else:
                if not _is_open(after):
                    return after.version != order.version
            with contextlib.suppress(OnsaleError):  # then it is due as the sweep has said
                await self._commands.postpone(published.place, order_id, AGAIN_MS, LONGEST_MS)
            return False


def _cause(error: OnsaleError) -> str:
    if isinstance(error, PaymentRefusedError):
        return "refused"
    return "unavailable" if isinstance(error, PaymentUnavailableError) else "store"


def _is_open(order: Order) -> bool:
    """Tell whether it is still to be cancelled at the provider."""
    return order.state in {"pending", "cancelling"}
