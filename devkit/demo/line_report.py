"""Whether the line was fair: what is reported of it, and how that looks."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table

from devkit.demo.figures import percentile
from devkit.demo.line_proof import LineFacts
from devkit.demo.line_tally import LineTally

_TENTHS = 10
_BAR = 30  # characters


class Tenth(msgspec.Struct, kw_only=True):
    """A tenth of those who were called, by their numbers, and how long they waited for that."""

    first: int
    last: int
    count: int
    p50_s: float
    max_s: float


class LineReport(msgspec.Struct, kw_only=True):
    """``drawn``, ``later``: places of the draw and behind it; ``checked``: numbers recomputed."""

    drawn: int
    later: int
    called: int
    entered: int
    no_shows: int
    inversions: int
    order_of_entry_correlation: float | None
    draw_right: bool
    checked: int
    waited: list[Tenth]
    counts: dict[str, int]


def make_line_report(tally: LineTally, facts: LineFacts) -> LineReport:
    """Put it together."""
    fairness = facts.fairness
    return LineReport(
        drawn=facts.drawn,
        later=facts.later,
        called=fairness.called,
        entered=fairness.entered,
        no_shows=fairness.no_shows,
        inversions=fairness.inversions,
        order_of_entry_correlation=fairness.order_of_entry_correlation,
        draw_right=not facts.wrong,
        checked=facts.checked,
        waited=tenths(tally.waits),
        counts=dict(sorted(tally.counts.items())),
    )


def tenths(waits: Sequence[tuple[int, float]]) -> list[Tenth]:
    """Return the waiting times of (number, seconds) by tenths of the numbers, the first first."""
    ordered = sorted(waits)
    found = []
    for turn in range(_TENTHS):
        part = ordered[turn * len(ordered) // _TENTHS : (turn + 1) * len(ordered) // _TENTHS]
        if part:
            seconds = [waited for _, waited in part]
            found.append(
                Tenth(
                    first=part[0][0],
                    last=part[-1][0],
                    count=len(part),
                    p50_s=round(percentile(seconds, 0.5), 1),
                    max_s=round(max(seconds), 1),
                )
            )
    return found


def line_view(line: LineReport) -> RenderableType:
    """Return it for a terminal."""
    count = line.counts.get
    text = Table.grid(padding=(0, 2))
    known = line.order_of_entry_correlation
    order = "" if known is None else f", order of entry against number: {known:.3f} (Spearman)"
    draw = (
        f"right: {line.checked:,} numbers recomputed from seed and roster"
        if line.draw_right
        else "[red]wrong[/]"
    )
    called = (
        f"{line.called:,}, {line.entered:,} went in, {line.no_shows:,} did not come,"
        f" {count('took too long inside', 0):,} took too long inside"
    )
    on_the_way = (
        f"{count('left the line', 0):,} left, {count('joined on two devices', 0):,} joined on two"
        f" devices, {count('tried to pass the line', 0):,} tried to pass the line and were refused,"
        f" {count('still in line', 0):,} were still in line when all was sold"
    )
    for name, what in (
        ("line", f"{line.drawn:,} places drawn at the opening, {line.later:,} behind them"),
        ("draw", draw),
        ("called", called),
        ("fairness", f"{line.inversions} inversions{order}"),
        ("on the way", on_the_way),
    ):
        text.add_row(f"[bold]{name}[/]", what)
    return Group(text, _chart(line.waited)) if line.waited else text


def _chart(waited: Sequence[Tenth]) -> RenderableType:
    table = Table(title="Time in line until called, by number (s)", title_justify="left")
    table.add_column("numbers", justify="right")
    for name in ("people", "median", "longest"):
        table.add_column(name, justify="right")
    table.add_column("")
    most = max(*(part.p50_s for part in waited), 0.1)
    for part in waited:
        table.add_row(
            f"{part.first:,}-{part.last:,}",
            f"{part.count:,}",
            f"{part.p50_s:.1f}",
            f"{part.max_s:.1f}",
            f"[cyan]{'█' * round(_BAR * part.p50_s / most)}[/]",
        )
    return table
