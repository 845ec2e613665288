"""Counters and latencies of all simulated buyers together."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from devkit.demo.figures import Stopwatch

Json = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Purchase:
    """An order as its buyer knows it. ``paid``: the provider said that it has the money."""

    order: str
    buyer: str
    total: int
    tickets: int
    paid: bool = False
    paid_at: float = 0.0
    late: bool = False
    twice: bool = False
    state: str = "pending"


@dataclass(slots=True)
class Tally:
    """Counts for all buyers; ``over`` is set when ``capacity`` tickets are sold."""

    capacity: int
    stopwatch: Stopwatch
    counts: Counter[str] = field(default_factory=Counter)
    sold: Counter[str] = field(default_factory=Counter)  # tickets by type
    purchases: dict[str, Purchase] = field(default_factory=dict)
    confirmed_at: list[float] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)  # promises that a buyer saw broken
    inside: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def confirmed(self, purchase: Purchase, order: Json) -> None:
        """Note the tickets of an order."""
        now = time.perf_counter()
        self.confirmed_at.append(now)
        if purchase.paid_at and not purchase.late:
            self.stopwatch.add("confirmed", now - purchase.paid_at)
        if len(order["tickets"]) != purchase.tickets:
            self.broken.append(
                f"order {purchase.order} has {len(order['tickets'])} tickets for"
                f" {purchase.tickets} that were held"
            )
        self.sold.update(ticket["ticket_type"] for ticket in order["tickets"])
        if self.sold.total() >= self.capacity:
            self.over.set()
