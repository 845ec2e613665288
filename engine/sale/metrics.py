"""Metrics of orders that run out and of money that goes back, as the worker exposes them."""

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

# What became of refunds: succeeded, pending (on their way), failed (now, or after they had
# succeeded), refused (the provider says no), later (it did not answer).
REFUNDS: Final = Counter("onsale_refunds_total", "Refunds by what became of them.", ["outcome"])

# Disputes by the state that they came to: inquiry, open, won, lost.
DISPUTES: Final = Counter("onsale_disputes_total", "Disputes by their new state.", ["state"])

# Orders whose money is owed back, on its way back, or disputed, of all occurrences.
FOLLOWED: Final = Gauge("onsale_money_followed_orders", "Orders whose money is followed.")

# Those of them whose refund came to nothing again and again. Alert: `onsale refunds` lists them.
RAISED: Final = Gauge("onsale_money_raised_orders", "Orders whose money needs a person.")
