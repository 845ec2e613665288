"""Typed bindings of the scripts, one method a command; lua/README.md is their reference.

Each returns the script's answer as ``[code, ...]`` with raw bytes inside; the
sale turns codes into errors. Ids are 32 hex, digests 16 bytes, lines
``[type, quantity, seats or False, split]`` with seats ``[section, position, ...]``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from engine.store.batcher import Batcher
from engine.store.lane import Receiver

Answer = asyncio.Future[list[Any]]
Lines = Sequence[Sequence[Any]]


class Commands:
    """The commands of the sale, micro-batched. ``place``: :func:`engine.store.keys.prefix`."""

    def __init__(self, batcher: Batcher) -> None:
        self._submit = batcher.submit
        self._submit_for = batcher.submit_for

    def acquire(
        self, place: str, buyer: str, hold: str, key: bytes, body: bytes, lines: Lines
    ) -> Answer:
        """Make a hold."""
        return self._submit("hold_acquire", place, (buyer, hold, key, body, lines))

    def acquire_for(
        self,
        receiver: Receiver,
        place: str,
        buyer: str,
        hold: str,
        key: bytes,
        body: bytes,
        lines: Lines,
    ) -> None:
        """Make a hold, and give the answer to the receiver: the hot path's way."""
        self._submit_for(receiver, "hold_acquire", place, (buyer, hold, key, body, lines))

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

    def attach(self, place: str, order: str, intent: str) -> Answer:
        """Note the payment intent of an order."""
        return self._submit("order_attach", place, (order, intent))

    def confirm(self, place: str, order: str, intent: str, captured: int) -> Answer:
        """Sell what an order holds: the money is here."""
        return self._submit("order_confirm", place, (order, intent, captured))

    def cancel(self, place: str, order: str, reason: str, again_ms: int) -> Answer:
        """Begin to cancel a pending order."""
        return self._submit("order_cancel", place, (order, reason, again_ms))

    def release_order(self, place: str, order: str, intent: str) -> Answer:
        """Put an order's stock back on sale: the provider has cancelled."""
        return self._submit("order_release", place, (order, intent))

    def return_order(self, place: str, order: str, reason: str) -> Answer:
        """Take a confirmed order back."""
        return self._submit("order_return", place, (order, reason))

    def refunded(self, place: str, order: str, refund: str) -> Answer:
        """Note that the money that was owed has been given back."""
        return self._submit("order_refunded", place, (order, refund))

    def block(self, place: str, seats: Sequence[int]) -> Answer:
        """Set seats aside."""
        return self._submit("seats_block", place, (seats,))

    def unblock(self, place: str, seats: Sequence[int]) -> Answer:
        """Put blocked seats on sale."""
        return self._submit("seats_unblock", place, (seats,))

    def pause(self, place: str) -> Answer:
        """Stop the sale clock."""
        return self._submit("sale_pause", place, (0,))

    def resume(self, place: str) -> Answer:
        """Let the sale clock go on."""
        return self._submit("sale_resume", place, (0,))
