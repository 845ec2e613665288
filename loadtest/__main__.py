"""``python -m loadtest SCENARIO``: throw it at an installation, and check what came of it."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from devkit.demo.system import running_system
from engine.app.cli import ADDRESSES, fill_environment
from engine.core.errors import OnsaleError
from loadtest.scenarios import SCENARIOS, Outcome, play

_WIDTH = 120  # of the table, where there is no terminal to ask


@click.command(help=__doc__)
@click.argument("names", nargs=-1, metavar="[SCENARIO]...", type=click.Choice(list(SCENARIOS)))
@click.option("--users", type=click.IntRange(1, 10_000), help="How many, in place of its own.")
@click.option("--seconds", type=click.IntRange(5, 3_600), help="How long, in place of its own.")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".onsale"),
    show_default=True,
    help="The data of the `onsale up` that is started when none is running.",
)
def main(names: tuple[str, ...], users: int | None, seconds: int | None, data: Path) -> None:
    """Play the scenarios, all of them without a name."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)
    fill_environment(Path(os.environ.get("ONSALE_ENV_FILE") or ADDRESSES))
    try:
        outcomes = asyncio.run(_play(names or tuple(SCENARIOS), users, seconds, data, console))
    except OnsaleError as error:
        raise click.ClickException(str(error)) from error
    show(outcomes, console)
    sys.exit(max(outcome.exit_code for outcome in outcomes))


async def _play(
    names: tuple[str, ...], users: int | None, seconds: int | None, data: Path, console: Console
) -> list[Outcome]:
    outcomes = []
    async with running_system(data, dict(os.environ), console.print) as settings:
        for name in names:
            scenario = SCENARIOS[name]
            console.print(f"[bold]{name}[/]: {scenario.says}")
            scenario = msgspec.structs.replace(
                scenario, count=users or scenario.count, seconds=seconds or scenario.seconds
            )
            outcomes.append(await play(name, scenario, settings))
    return outcomes


def show(outcomes: list[Outcome], console: Console) -> None:
    """Print what came of it."""
    table = Table(title="Checks", title_justify="left")
    table.add_column("scenario")
    columns = ("orders", "places", "went in", "inversions", "most inside", "without a pass")
    for name in columns:
        table.add_column(name, justify="right")
    table.add_column("")
    for outcome in outcomes:
        books = outcome.books
        table.add_row(
            outcome.scenario,
            f"{books.orders:,}",
            f"{books.places:,}",
            f"{books.entered:,}",
            f"{books.inversions}",
            f"{books.inside_most} of {books.cap}",
            f"{books.strangers}",
            "[red]FAILED[/]" if outcome.exit_code else "[green]as it must be[/]",
        )
    console.print(table)
    for outcome in outcomes:
        if outcome.failed:
            console.print(f"[red]{outcome.scenario}[/]: requests failed: see above")
        for sentence in outcome.books.wrong:
            console.print(f"[red]{outcome.scenario}[/]: {escape(sentence)}")


if __name__ == "__main__":
    main(prog_name="python -m loadtest")
