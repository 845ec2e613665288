"""How an audit and a report of fairness look: a table for people, JSON for programs."""

from __future__ import annotations

from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from engine.audit.fairness import Fairness
from engine.audit.findings import Report
from engine.core.money import display

_LISTED = 10  # findings of one check in the table; the JSON has more


def show(reports: list[Report], *, unwritten: int, as_json: bool) -> None:
    """Print the reports to stdout. ``unwritten``: records that did not come in time."""
    if as_json:
        document: dict[str, Any] = {
            "ok": not unwritten and all(report.ok for report in reports),
            "unwritten": unwritten,
            "occurrences": [{"ok": report.ok, **msgspec.to_builtins(report)} for report in reports],
        }
        print(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())  # noqa: T201 - the command's output
        return
    console = Console()
    if not reports:
        console.print("No occurrence is published, so there is nothing to compare.")
    for report in reports:
        _show(console, report)
    if unwritten:
        console.print(
            f"[red]Records that are still not in PostgreSQL: {unwritten}."
            " Is `onsale worker` running?"
        )


def show_fairness(report: Fairness, *, as_json: bool) -> None:
    """Print the report of a line to stdout."""
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())  # noqa: T201 - the command's output
        return
    console = Console()
    if not report.calls and not report.inversions:
        console.print("Nobody has been called in yet.")
        return
    correlation = report.order_of_entry_correlation
    lines = [
        f"called in: {report.called:,} people, in {report.calls:,} steps",
        f"entered: {report.entered:,}; did not come so far: {report.no_shows:,}",
        "order of entry against number: "
        + ("nothing to compare yet" if correlation is None else f"{correlation:.4f} (Spearman)"),
        f"came in ahead of the turn: {report.inversions:,}",
        *(f"  {finding}" for finding in report.findings),
    ]
    for line in lines:
        console.print(escape(line), soft_wrap=True, highlight=False)


def _show(console: Console, report: Report) -> None:
    verdict = "[green]everything agrees" if report.ok else "[red]NOT everything agrees"
    name = escape(report.event or "occurrence")
    console.print(f"[bold]{name}[/] {report.occurrence}: {verdict}", soft_wrap=True)
    console.print(_table(report))
    console.print(
        f"orders {report.orders}, tickets {report.tickets}, captured"
        f" {_money(report.captured, report)} and given back"
        f" {_money(report.refunded, report)}, owed or on its way {_money(report.owed, report)},"
        f" withdrawn by disputes {_money(report.withdrawn, report)}, records of the waiting room"
        f" {report.queue_events}, records on their way {report.in_flight}",
        soft_wrap=True,
    )


def _money(amount: int, report: Report) -> str:
    """Return an amount as people read it; of an occurrence that is gone no currency is known."""
    return display(amount, report.currency) if report.currency else str(amount)


def _table(report: Report) -> Table:
    table = Table()
    table.add_column("check")
    table.add_column("examined", justify="right")
    table.add_column("wrong", justify="right")
    table.add_column("what", overflow="fold")
    for check in report.checks:
        listed = [f"{f.subject}: {f.detail}" for f in check.findings[:_LISTED]]
        if check.failed > len(listed):
            listed.append(f"... and {check.failed - len(listed)} more (see --json)")
        table.add_row(
            check.name,
            str(check.examined),
            f"[red]{check.failed}" if check.failed else "[green]0",
            escape("\n".join(listed) or check.skipped),
        )
    return table
