"""``onsale queue``: what operators see of a line and do to it, recorded as done by ``--actor``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click
import msgspec

from engine.queue import operating
from engine.queue.operating import STEPS, LineView, Step
from engine.sale.service import Sale

T = TypeVar("T")

_HELP: dict[Step, str] = {
    "open": "Open the line now: draw the pre-queue, or go on after drain or close.",
    "pause": "Stop the sale clock: nobody is called, nothing runs out.",
    "resume": "Let the sale clock go on.",
    "drain": "Let nobody join any more; those in line are still called.",
    "close": "Call nobody any more; those inside finish.",
    "on": "Put the room before the sale.",
    "off": "Take the room away: everybody can hold tickets.",
}
_PEOPLE = click.IntRange(1, 1_000_000)
_HOUR_MS = 3_600_000
_actor = click.option(
    "--actor", default="cli", show_default=True, help="Who does it, for the record."
)


@click.group()
def queue() -> None:
    """Show and steer the line before a sale."""


@queue.command()
@click.argument("occurrence")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(occurrence: str, *, as_json: bool) -> None:
    """Show all figures of the line of OCCURRENCE."""
    view = _run(lambda sale: operating.read_line(sale, occurrence))
    if as_json:
        click.echo(msgspec.json.encode(view))
    else:
        _show(view)


def _step(step: Step) -> click.Command:
    @click.command(name=step, help=_HELP[step])
    @click.argument("occurrence")
    @_actor
    def command(occurrence: str, actor: str) -> None:
        _show(_run(lambda sale: operating.take_step(sale, occurrence, actor, step)))

    return command


for _name in STEPS:
    queue.add_command(_step(_name))


@queue.command(name="set")
@click.argument("occurrence")
@click.option("--rate", type=_PEOPLE, help="People called every --rate-ms, at most.")
@click.option("--rate-ms", type=click.IntRange(1, _HOUR_MS), help="See --rate.")
@click.option("--cap", type=_PEOPLE, help="People inside or called, at most.")
@click.option("--claim-ms", type=click.IntRange(1, _HOUR_MS), help="Time to enter once called.")
@click.option("--shop-ms", type=click.IntRange(1, 24 * _HOUR_MS), help="Time to shop once inside.")
@_actor
def change(occurrence: str, actor: str, **given: int | None) -> None:
    """Change the rate, the cap or the times of the line of OCCURRENCE."""
    values = {name: value for name, value in given.items() if value is not None}
    if not values:
        raise click.UsageError("give at least one of the options: what is to be changed")
    _show(_run(lambda sale: operating.change_line(sale, occurrence, actor, values)))


@queue.command()
@click.argument("occurrence")
def left(occurrence: str) -> None:
    """List who has not been called in the line of OCCURRENCE: number and buyer, in order."""
    for place in _run(lambda sale: sale.waiting.remaining(occurrence)):
        click.echo(f"{place.number}\t{place.buyer}")


def _run(work: Callable[[Sale], Awaitable[T]]) -> T:
    from engine.sale.cli import running_sale

    async def run() -> T:
        async with running_sale() as sale:
            return await work(sale)

    return asyncio.run(run())


def _show(view: LineView) -> None:
    figures = {
        name.removesuffix("_ms").replace("_", " "): _words(name, value)
        for name, value in msgspec.structs.asdict(view).items()
        if name != "rate_ms"
    }
    figures["rate"] += f" every {_words('rate_ms', view.rate_ms)}"
    width = max(map(len, figures))
    for label, text in figures.items():
        click.echo(f"{label:{width}}  {text}")


def _words(name: str, value: object) -> str:
    """Return a figure as people read it: times in minutes and seconds, yes and no."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name.endswith("_ms") and isinstance(value, int):
        minutes, seconds = divmod(value / 1000, 60)
        return f"{minutes:.0f} min {seconds:g} s" if minutes else f"{seconds:g} s"
    return f"{value:,}" if isinstance(value, int) else str(value)
