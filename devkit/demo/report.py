"""The demo's report: one screen for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table

from devkit.demo.figures import percentile
from devkit.demo.line_report import LineReport, line_view
from devkit.demo.tally import Tally
from devkit.demo.verdict import Facts, broken

STEPS = ("guest", "join", "ask", "enter", "hold", "checkout", "pay", "confirmed")
_SHARES = (0.5, 0.95, 0.99)
_PEAK_S = 5.0


class TypeSold(msgspec.Struct, kw_only=True):
    """What was sold of a ticket type."""

    code: str
    name: str
    sold: int


class Step(msgspec.Struct, kw_only=True):
    """How long a step took its buyers, in milliseconds."""

    name: str
    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


class Report(msgspec.Struct, kw_only=True):
    """Everything that is reported. ``broken``: sentences; none: every promise was kept."""

    occurrence: str
    buyers: int
    seed: int
    seconds: float
    capacity: int
    sold: int
    oversold: int
    lost: int
    types: list[TypeSold]
    orders: int
    orders_per_s: float
    orders_per_s_peak: float
    steps: list[Step]
    counts: dict[str, int]
    paid_late: dict[str, int]
    paid_twice: int
    charged_twice: int
    refunds: int
    line: LineReport
    broken: list[str]

    @property
    def exit_code(self) -> int:
        """1 when a promise was broken."""
        return int(bool(self.broken))


def make_report(
    *,
    occurrence: str,
    buyers: int,
    seed: int,
    seconds: float,
    names: Mapping[str, str],
    sold: Mapping[str, int],
    tally: Tally,
    facts: Facts,
    line: LineReport,
) -> Report:
    """Put the report together. ``names``: ticket type -> name; ``sold``: ticket type -> tickets."""
    purchases = tally.purchases.values()
    late = [item for item in purchases if item.late]
    honoured = sum(item.state == "confirmed" for item in late)
    return Report(
        occurrence=occurrence,
        buyers=buyers,
        seed=seed,
        seconds=round(seconds, 1),
        capacity=sum(facts.capacity.values()),
        sold=facts.sold_all,
        oversold=facts.oversold,
        lost=len(facts.lost),
        types=[
            TypeSold(code=code, name=name, sold=sold.get(code, 0)) for code, name in names.items()
        ],
        orders=len(tally.confirmed_at),
        orders_per_s=round(len(tally.confirmed_at) / max(_span(tally.confirmed_at), 1.0), 1),
        orders_per_s_peak=round(peak(tally.confirmed_at, _PEAK_S), 1),
        steps=[_step(name, tally.stopwatch.seconds.get(name, [])) for name in STEPS],
        counts=dict(sorted(tally.counts.items())),
        paid_late={
            "honoured": honoured,
            "refunded": sum(item.paid and item.state != "confirmed" for item in late),
            "refused by the provider": sum(not item.paid for item in late),
        },
        paid_twice=sum(item.twice and item.state == "confirmed" for item in purchases),
        charged_twice=len(facts.charged_twice),
        refunds=facts.refunds,
        line=line,
        broken=broken(facts),
    )


def peak(moments: Sequence[float], window_s: float) -> float:
    """Return the most that happened within any window, a second. ``moments``: in seconds."""
    ordered = sorted(moments)
    most = first = 0
    for last, moment in enumerate(ordered):
        while moment - ordered[first] > window_s:
            first += 1
        most = max(most, last - first + 1)
    return most / window_s


def _span(moments: Sequence[float]) -> float:
    return max(moments) - min(moments) if moments else 0.0


def _step(name: str, seconds: Sequence[float]) -> Step:
    p50, p95, p99 = (round(1000 * percentile(seconds, share), 1) for share in _SHARES)
    return Step(name=name, count=len(seconds), p50_ms=p50, p95_ms=p95, p99_ms=p99)


def show(report: Report, console: Console) -> None:
    """Print the report."""
    grid = Table.grid(padding=(0, 4))
    grid.add_row(_types(report), _steps(report))
    console.print(grid)
    console.print(_people(report))
    console.print(line_view(report.line))
    good = not report.broken
    colour = "green" if good else "red"
    console.print(
        f"[bold {colour}]{report.sold:,} of {report.capacity:,} sold,"
        f" oversold {report.oversold}, lost {report.lost}[/]"
        f"   {report.orders:,} orders in {report.seconds:.0f} s,"
        f" {report.orders_per_s_peak:.0f} a second at the peak"
    )
    if good:
        console.print("[green]Every promise was kept; Redis, PostgreSQL and the provider agree.[/]")
    for sentence in report.broken:
        console.print(f"[red]BROKEN[/] {escape(sentence)}")


def _types(report: Report) -> RenderableType:
    table = Table(title="Sold", title_justify="left")
    table.add_column("ticket type")
    table.add_column("tickets", justify="right")
    for item in report.types:
        table.add_row(escape(item.name), f"{item.sold:,}")
    table.add_section()
    table.add_row("all", f"{report.sold:,} of {report.capacity:,}")
    return table


def _steps(report: Report) -> RenderableType:
    table = Table(title="How long it took (ms)", title_justify="left")
    table.add_column("step")
    for name in ("times", "p50", "p95", "p99"):
        table.add_column(name, justify="right")
    for step in report.steps:
        table.add_row(
            step.name,
            f"{step.count:,}",
            *(f"{value:,.0f}" for value in (step.p50_ms, step.p95_ms, step.p99_ms)),
        )
    return table


def _people(report: Report) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    count = report.counts.get
    left = (
        f"{count('gave it back', 0)} gave it back, {count('walked away', 0)} let the hold run out,"
        f" {count('did not pay', 0)} let the order run out"
    )
    late = ", ".join(f"{number} {what}" for what, number in report.paid_late.items())
    for name, text in (
        ("buyers", f"{report.buyers:,}"),
        ("abandoned", left),
        ("declined", f"{count('declined', 0)}, of whom {count('gave up', 0)} gave up"),
        ("3-D Secure", f"{count('3-D Secure', 0)} passed"),
        ("paid late", late),
        ("paid twice", f"{report.paid_twice}, charged twice {report.charged_twice}"),
        ("too slow", f"{count('was too slow', 0)} times somebody was quicker"),
        ("refunds", f"{report.refunds}"),
    ):
        table.add_row(f"[bold]{name}[/]", text)
    return table
