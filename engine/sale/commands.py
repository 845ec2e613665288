"""Typed bindings of the scripts, one method a command; lua/README.md is their reference.

Each returns the script's answer as ``[code, ...]`` with raw bytes inside; the
sale turns codes into errors. Ids are 32 hex, digests 16 bytes, lines
``[type, quantity, seats or False, split]`` with seats ``[section, position, ...]``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from engine.platform.valkey.batcher import Batcher
from engine.platform.valkey.lane import Receiver

Answer = asyncio.Future[list[Any]]
Lines = Sequence[Sequence[Any]]


class Commands:
    """The commands of the sale, micro-batched. ``place``: the key prefix of an occurrence.

    ``waiting``: the batcher of those who wait in line; whatever they do, the
    commands of those inside have ``batcher`` to themselves.
    """

    def __init__(self, batcher: Batcher, waiting: Batcher) -> None:
        self._submit = batcher.submit
        self._submit_for = batcher.submit_for
        self._submit_waiting = waiting.submit
        self._submit_waiting_for = waiting.submit_for

    def acquire(
        self,
        place: str,
        buyer: str,
        hold: str,
        key: bytes,
        body: bytes,
        lines: Lines,
        budget: bytes | None = None,
    ) -> Answer:
        """Make a hold. ``budget``: packed limits, then the network; None: nobody waits."""
        return self._submit("hold_acquire", place, (buyer, hold, key, body, lines, budget))

    def acquire_for(
        self,
        receiver: Receiver,
        place: str,
        buyer: str,
        hold: str,
        key: bytes,
        body: bytes,
        lines: Lines,
        budget: bytes,
    ) -> None:
        """Make a hold, and give the answer to the receiver: the hot path's way."""
        request = (buyer, hold, key, body, lines, budget)
        self._submit_for(receiver, "hold_acquire", place, request)

    def change(
        self,
        place: str,
        buyer: str,
        hold: str,
        key: bytes,
        body: bytes,
        add: Lines,
        remove: Lines,
    ) -> Answer:
        """Add to and take from a hold; an empty ``key`` is none."""
        return self._submit("hold_change", place, (buyer, hold, key, body, add, remove))

    def extend(self, place: str, buyer: str, hold: str, key: bytes, body: bytes) -> Answer:
        """Give a hold its full time again."""
        return self._submit("hold_extend", place, (buyer, hold, key, body))

    def release(self, place: str, buyer: str, hold: str) -> Answer:
        """Let go of a hold."""
        return self._submit("hold_release", place, (buyer, hold))

    def read(self, place: str, kind: str, identifier: str, buyer: str = "") -> Answer:
        """Read a hold ("h") or an order ("o"); with ``buyer``, only if it is theirs."""
        return self._submit("read", place, (kind, identifier, buyer))

    def sweep(self, place: str, most: int, again_ms: int) -> Answer:
        """Expire holds, and tell which orders are due."""
        return self._submit("sweep", place, (most, again_ms))

    def place_order(
        self,
        place: str,
        buyer: str,
        hold: str,
        version: int,
        order: str,
        key: bytes,
        body: bytes,
        details: Mapping[str, Any],
    ) -> Answer:
        """Make an order of a hold."""
        return self._submit("order_place", place, (buyer, hold, version, order, key, body, details))

    def attach(self, place: str, order: str, intent: str, secret: str = "") -> Answer:
        """Note the payment intent of an order, and what its buyer's client pays with."""
        return self._submit("order_attach", place, (order, intent, secret))

    def ask(self, place: str, order: str, buyer: str) -> Answer:
        """Read a buyer's order and take a turn to ask the provider about it."""
        return self._submit("order_ask", place, (order, buyer))

    def confirm(
        self,
        place: str,
        order: str,
        intent: str,
        captured: int,
        said: Mapping[str, Any] | None = None,
        *,
        version: int | None = None,
    ) -> Answer:
        """Make the order what the provider says now of an intent's money.

        ``said``: more than what was captured; ``version``: the order's, before
        the provider was asked.
        """
        request = (order, intent, captured, dict(said or {}), version)
        return self._submit("order_confirm", place, request if version else request[:4])

    def cancel(
        self, place: str, order: str, reason: str, again_ms: int, failure: str = ""
    ) -> Answer:
        """Begin to cancel a pending order. ``failure``: the provider's code if it refused it."""
        return self._submit("order_cancel", place, (order, reason, again_ms, failure))

    def postpone(self, place: str, order: str, again_ms: int, longest_ms: int) -> Answer:
        """Look at an order that could not be closed again after a pause that grows."""
        return self._submit("order_postpone", place, (order, again_ms, longest_ms))

    def release_order(self, place: str, order: str, intent: str) -> Answer:
        """Put an order's stock back on sale: the provider has cancelled."""
        return self._submit("order_release", place, (order, intent))

    def return_order(self, place: str, order: str, reason: str) -> Answer:
        """Take a confirmed order back."""
        return self._submit("order_return", place, (order, reason))

    def refund(
        self,
        place: str,
        order: str,
        intent: str,
        step: Literal["refused", "again", "elsewhere"],
        text: str,
    ) -> Answer:
        """Note a step of giving back an intent's money that the provider does not tell of."""
        return self._submit("order_refund", place, (order, intent, step, text))

    def money_due(self, place: str, most: int, again_ms: int) -> Answer:
        """Tell whose money is to be looked at."""
        return self._submit("money_due", place, (most, again_ms))

    def block(self, place: str, seats: Sequence[int]) -> Answer:
        """Set seats aside."""
        return self._submit("seats_block", place, (seats,))

    def unblock(self, place: str, seats: Sequence[int]) -> Answer:
        """Put blocked seats on sale."""
        return self._submit("seats_unblock", place, (seats,))

    def pause(self, place: str, actor: str) -> Answer:
        """Stop the sale clock. ``actor``: who does it."""
        return self._submit("sale_pause", place, (actor,))

    def resume(self, place: str, actor: str) -> Answer:
        """Let the sale clock go on. ``actor``: who does it."""
        return self._submit("sale_resume", place, (actor,))

    def queue_join(
        self,
        place: str,
        buyer: str,
        leaf: bytes,
        budgets: Sequence[Sequence[Any]],
        over: int | None = None,
    ) -> Answer:
        """Take a place in line, or be told the one that there is.

        ``over``: the index of the buyer's place that is over and may be replaced.
        """
        return self._submit_waiting("queue_join", place, _join(buyer, leaf, budgets, over))

    def queue_join_for(
        self,
        receiver: Receiver,
        place: str,
        buyer: str,
        leaf: bytes,
        budgets: Sequence[Sequence[Any]],
    ) -> None:
        """Take a place in line, and give the answer to the receiver: the hot path's way."""
        self._submit_waiting_for(receiver, "queue_join", place, _join(buyer, leaf, budgets, None))

    def queue_look(self, place: str, buyer: str, number: int) -> Answer:
        """Look up a place. ``number``: the place's, 0 where it is not known."""
        return self._submit_waiting("queue_look", place, (buyer, number))

    def queue_look_for(self, receiver: Receiver, place: str, buyer: str, number: int) -> None:
        """Look up a place, and give the answer to the receiver: the hot path's way."""
        self._submit_waiting_for(receiver, "queue_look", place, (buyer, number))

    def queue_enter(self, place: str, buyer: str, index: int, number: int) -> Answer:
        """Give the pass to a buyer who was called."""
        return self._submit("queue_enter", place, (buyer, index, number))

    def queue_leave(self, place: str, buyer: str, index: int, number: int) -> Answer:
        """Give a place up. ``number``: 0 where it is not known."""
        return self._submit("queue_leave", place, (buyer, index, number))

    def queue_call(
        self,
        place: str,
        fence: int,
        start: int,
        indices: Sequence[int],
        allowed: int,
        rate_milli: int,
    ) -> Answer:
        """Call the next numbers: ``start`` + 1 and on, whose places have these indices.

        ``allowed``: how many at most; ``rate_milli``: the most in 1,000 seconds.
        """
        return self._submit("queue_call", place, (fence, start, indices, allowed, rate_milli))

    def queue_open(self, place: str) -> Answer:
        """Open the line if its moment has come."""
        return self._submit("queue_open", place, (0,))

    def queue_draw(self, place: str, digest: str, n: int) -> Answer:
        """Draw: the SHA-256 of the closed roster of ``n`` places, in hex."""
        return self._submit("queue_draw", place, (digest, n))

    def queue_command(
        self, place: str, actor: str, command: str, values: Mapping[str, int]
    ) -> Answer:
        """Do to the line what an operator says."""
        return self._submit("queue_command", place, (actor, command, values))


def _join(
    buyer: str, leaf: bytes, budgets: Sequence[Sequence[Any]], over: int | None
) -> tuple[Any, ...]:
    return (buyer, leaf, budgets, False if over is None else over)
