"""What a benchmark says: ratios with their targets, and figures beside them."""

from __future__ import annotations

from statistics import median
from typing import Any

import msgspec

_DIGITS = 2  # targets are written with two digits, so they are compared with two


class Ratio(msgspec.Struct, kw_only=True):
    """Something measured, against a limit measured in turns with it (A B A B ...).

    ``measured[i]`` and ``limit[i]`` belong to one round, in ``unit``. ``at_most``:
    the smaller the better. ``excludes``: what the figure does not contain.
    """

    name: str
    title: str
    unit: str
    limit_title: str
    measured: list[float]
    limit: list[float]
    must: float
    aim: float
    at_most: bool = False
    excludes: str = ""

    @property
    def value(self) -> float:
        """The median of the rounds' ratios: what slows both sides of a round cancels out."""
        return median(a / b for a, b in zip(self.measured, self.limit, strict=True))

    @property
    def spread(self) -> tuple[float, float]:
        """The smallest and the largest ratio of a round."""
        ratios = [a / b for a, b in zip(self.measured, self.limit, strict=True)]
        return min(ratios), max(ratios)

    def meets(self, target: float) -> bool:
        """Tell whether the ratio, to two digits, reaches a target."""
        value = round(self.value, _DIGITS)
        return value <= target if self.at_most else value >= target

    @property
    def verdict(self) -> str:
        """One of "missed", "must", "aim": what is reached."""
        if not self.meets(self.must):
            return "missed"
        return "aim" if self.meets(self.aim) else "must"


class Figure(msgspec.Struct, kw_only=True):
    """A number that is reported beside the ratios, without a target."""

    name: str
    title: str
    value: float
    unit: str
    note: str = ""


class Results(msgspec.Struct, kw_only=True):
    """A whole run. ``failures``: sentences; a run with any is worth nothing."""

    started_at: str
    machine: dict[str, str]
    options: dict[str, Any]
    ratios: list[Ratio] = []
    figures: list[Figure] = []
    failures: list[str] = []

    @property
    def exit_code(self) -> int:
        """1 when a "must" is missed or something failed, else 0."""
        return int(bool(self.failures) or any(r.verdict == "missed" for r in self.ratios))

    def document(self) -> dict[str, Any]:
        """Return everything for JSON, with what is derived."""
        document: dict[str, Any] = msgspec.to_builtins(self)
        for ratio, item in zip(self.ratios, document["ratios"], strict=True):
            item |= {
                "value": ratio.value,
                "spread": ratio.spread,
                "measured_median": median(ratio.measured),
                "limit_median": median(ratio.limit),
                "verdict": ratio.verdict,
            }
        return {**document, "exit_code": self.exit_code}
