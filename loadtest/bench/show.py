"""The results as tables."""

from __future__ import annotations

from statistics import median

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from loadtest.bench.results import Ratio, Results

_COLOURS = {"missed": "red", "must": "yellow", "aim": "green"}
_SAYS = {"missed": "MISSED", "must": "must met", "aim": "aim met"}
_LARGE = 100


def amount(value: float) -> str:
    """Return a number as people read it: large ones whole, small ones with two digits."""
    return f"{value:,.0f}" if abs(value) >= _LARGE else f"{value:,.2f}"


def show(results: Results, console: Console) -> None:
    """Print ratios, figures and failures."""
    if results.ratios:
        console.print(_ratios(results.ratios))
    if results.figures:
        table = Table(title="Also", title_justify="left")
        table.add_column("figure")
        table.add_column("value", justify="right")
        table.add_column("how", overflow="fold")
        for figure in results.figures:
            table.add_row(figure.title, f"{amount(figure.value)} {figure.unit}", figure.note)
        console.print(table)
    for failure in results.failures:
        console.print(f"[red]FAILED[/] {escape(failure)}")


def _ratios(ratios: list[Ratio]) -> Table:
    table = Table(
        title="Ratios (median of rounds; each limit measured in turns with it)",
        title_justify="left",
        show_lines=True,
    )
    table.add_column("ratio", overflow="fold")
    for name in ("value", "must", "aim"):
        table.add_column(name, justify="right")
    table.add_column("")
    table.add_column("rounds")
    table.add_column("medians", overflow="fold")
    for ratio in ratios:
        sign = "≤ " if ratio.at_most else ""
        low, high = ratio.spread
        table.add_row(
            f"{ratio.title}\n[dim]over {ratio.limit_title}[/]",
            f"[bold]{ratio.value:.2f}[/]",
            f"{sign}{ratio.must:g}",
            f"{sign}{ratio.aim:g}",
            f"[{_COLOURS[ratio.verdict]}]{_SAYS[ratio.verdict]}[/]",
            f"{len(ratio.measured)}: {low:.2f}-{high:.2f}",
            f"{amount(median(ratio.measured))} / {amount(median(ratio.limit))} {ratio.unit}",
        )
    return table
