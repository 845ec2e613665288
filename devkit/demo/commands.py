"""``onsale demo``."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import click
import msgspec
from rich.console import Console

from devkit.demo import crowd, display, personas, proof, report, stage, system
from devkit.demo.line_report import make_line_report
from engine.core.settings import Settings

_WIDTH = 100  # of the report, where there is no terminal to ask
_SECONDS_MAX = 180.0  # for the sale itself; it takes about one minute


@click.command()
@click.option("--buyers", default=3_000, show_default=True, type=click.IntRange(1, 100_000))
@click.option("--seed", default=1, show_default=True, help="Of who comes and what they do.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".onsale"),
    show_default=True,
    help="The data of the `onsale up` that is started when none is running.",
)
def demo(buyers: int, seed: int, as_json: bool, data: Path) -> None:
    """Watch a whole on-sale: buyers, seats, payments, and the audit after it.

    Plays on the running `onsale up`, or on one that it starts and stops again.
    Every time another occurrence of the demo event is sold. Exit code 1 when a
    promise is broken.
    """
    console = Console(stderr=True, highlight=False)
    told = asyncio.run(_demo(buyers, seed, data, console))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(told), indent=2).decode())
    else:
        report.show(told, Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH))
    sys.exit(told.exit_code)


async def _demo(buyers: int, seed: int, data: Path, console: Console) -> report.Report:
    def say(text: str) -> None:
        console.print(f"[dim]{text}[/]")

    async with system.running_system(data, dict(os.environ), say) as settings:
        return await play(settings, buyers, seed, console)


async def play(
    settings: Settings,
    buyers: int,
    seed: int,
    console: Console,
    *,
    event: Path = stage.EVENT,
    pace: stage.Pace | None = None,
    seconds_max: float = _SECONDS_MAX,
) -> report.Report:
    """Sell a fresh occurrence of ``event`` to so many buyers, and prove that all is well.

    Raises :class:`engine.core.errors.OnsaleError` when something that is needed is away.
    """
    published = await stage.publish_another(settings, event, pace or stage.Pace())
    async with crowd.sale_of(settings, published.occurrence) as sale:
        with display.watching(sale, console) as tick:
            await sale.run(personas.draw(buyers, seed), seconds_max, tick)
        seconds, venue = sale.seconds, sale.venue
        with console.status("looking at what happened") as status:
            facts, line, sold = await proof.prove(
                settings, published.occurrence, venue, status.update
            )
    facts.errors = sale.errors
    return report.make_report(
        occurrence=published.occurrence,
        buyers=buyers,
        seed=seed,
        seconds=seconds,
        names={kind.code: kind.name for kind in venue.hall.kinds.values()},
        sold=sold,
        tally=venue.tally,
        facts=facts,
        line=make_line_report(venue.line, line),
    )
