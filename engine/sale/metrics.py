"""Metrics of orders that run out, as the worker exposes them."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge

# Orders that are being closed at the payment provider this moment, waiting for a turn included.
CLOSING: Final = Gauge("onsale_orders_closing", "Orders being closed at the provider.")

# Attempts to close an order that failed and are repeated after a growing pause. "refused": the
# provider says no, for good: a person has to look. "unavailable": it was away.
FAILED: Final = Counter(
    "onsale_order_closings_failed_total", "Failed attempts to close an order.", ["cause"]
)
