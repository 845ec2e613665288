"""What a payment provider can charge in a currency, and whether a total is that.

The provider owns the figures (:mod:`engine.payments.stripe_limits`); here is
what they mean. A total of 0 is not charged, so it is always fine.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Obstacle = Literal["too_small", "too_large", "wrong_step", "currency"]


class ChargeLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The totals that can be charged in one currency, in its minor units.

    From ``minimum`` to ``maximum``, both included, in multiples of ``step``.
    ``supported`` False: the provider does not take the currency at all.
    """

    minimum: int
    maximum: int
    step: int = 1
    supported: bool = True

    def obstacle(self, total: int) -> Obstacle | None:
        """Return why ``total`` cannot be charged, None when it can."""
        if total == 0:
            return None
        if not self.supported:
            return "currency"
        if total < self.minimum:
            return "too_small"
        if total > self.maximum:
            return "too_large"
        return "wrong_step" if total % self.step else None

    def explain(self, obstacle: Obstacle) -> str:
        """Return the end of a sentence such as "a total of 20 ... is below the least ..."."""
        if obstacle == "currency":
            return "is in a currency that the payment provider does not take"
        if obstacle == "too_small":
            return f"is below the {self.minimum} that the payment provider charges at least"
        if obstacle == "too_large":
            return f"is above the {self.maximum} that the payment provider charges at most"
        return f"is not a multiple of {self.step}, as the payment provider demands"
