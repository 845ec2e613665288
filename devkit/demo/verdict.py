"""What was promised, and whether it was kept. Pure functions over what was found."""

from __future__ import annotations

import msgspec


class Facts(msgspec.Struct, kw_only=True):
    """What was found after the sale, in Redis, in PostgreSQL, at the provider, by the buyers.

    ``capacity``: tickets of each pool of stock; ``sold``: valid tickets in
    PostgreSQL of each pool. Lists name orders, buyers or findings.
    """

    capacity: dict[str, int]
    sold: dict[str, int]
    refunds: int = 0  # orders whose money was given back
    seats_twice: list[str] = []  # seats with more than one valid ticket
    lost: list[str] = []  # paid, and neither confirmed nor given back
    charged_twice: list[str] = []  # buyers
    missing: list[str] = []  # orders a buyer saw confirmed that PostgreSQL does not have so
    unwritten: int = 0  # records that did not reach PostgreSQL in time
    audit: list[str] = []  # what does not agree
    inversions: list[str] = []  # of the line: who came in ahead of the turn
    draw: list[str] = []  # what does not agree with the published draw
    seen: list[str] = []  # what buyers saw go wrong
    errors: list[str] = []  # what stopped a buyer who should have gone on

    @property
    def sold_all(self) -> int:
        """Valid tickets in PostgreSQL."""
        return sum(self.sold.values())

    @property
    def oversold(self) -> int:
        """Tickets beyond what there was, of any pool, and seats sold twice."""
        beyond = sum(max(sold - self.capacity.get(pool, 0), 0) for pool, sold in self.sold.items())
        return max(beyond, len(self.seats_twice))


def broken(facts: Facts) -> list[str]:
    """Return a sentence for each promise that was not kept; none: all were."""
    capacity = sum(facts.capacity.values())
    found = []
    if facts.oversold:
        found.append(f"oversold: {facts.oversold} tickets {_named(facts.seats_twice)}")
    found += [
        f"{before}: {len(items)} {what} {_named(items)}"
        for items, before, what in (
            (facts.lost, "lost", "paid orders have neither tickets nor their money back"),
            (facts.charged_twice, "charged twice", "buyers"),
            (facts.missing, "not in PostgreSQL", "confirmed orders"),
            (facts.audit, "the audit", "things do not agree"),
            (facts.inversions, "unfair", "inversions in the line"),
            (facts.draw, "the draw", "things do not agree"),
            (facts.errors, "errors", "buyers were stopped"),
        )
        if items
    ]
    if facts.unwritten:
        found.append(f"not written behind: {facts.unwritten} records; is the worker running?")
    found += facts.seen
    if facts.sold_all < capacity:
        found.append(f"not sold out: {facts.sold_all} of {capacity}")
    return found


_NAMED_MAX = 3


def _named(items: list[str]) -> str:
    if not items:
        return ""
    more = f", and {len(items) - _NAMED_MAX} more" if len(items) > _NAMED_MAX else ""
    return f"({'; '.join(items[:_NAMED_MAX])}{more})"
