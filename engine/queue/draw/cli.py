"""``onsale verify-draw``: what a buyer does who trusts nobody."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from engine.core.errors import ConflictError, InvalidRequestError
from engine.core.settings import Settings
from engine.queue.draw.numbers import LEAF_BYTES
from engine.queue.draw.public import download
from engine.queue.draw.verification import (
    PLACES_MAX,
    Place,
    PublishedDraw,
    mistakes,
    place_of_buyer,
    place_of_index,
    read_draw,
)

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _id(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    del ctx, param
    try:
        return None if value is None else UUID(value).hex
    except ValueError:
        raise click.BadParameter(f"{value!r} is not an id: 32 hex digits are wanted") from None


@click.command("verify-draw")
@click.argument("occurrence", callback=_id)
@click.option("--url", help="The site that sells it; without: this installation's public address.")
@click.option("--draw", "draw_file", type=_FILE, help="The draw's document, from a file.")
@click.option("--roster", "roster_file", type=_FILE, help="The roster, from a file.")
@click.option("--commitment", help="What you noted before the draw (64 hex digits).")
@click.option("--buyer", callback=_id, help="Tell this buyer's place (an id).")
@click.option("--index", type=int, help="Tell the number of the place with this index, from 0.")
def verify_draw(
    occurrence: str,
    url: str | None,
    draw_file: Path | None,
    roster_file: Path | None,
    commitment: str | None,
    buyer: str | None,
    index: int | None,
) -> None:
    """Check the draw of OCCURRENCE's line from what the site publishes (docs/verify-the-draw.md).

    Exit code 1 when anything does not agree, or the buyer has no place in the draw.
    """
    if (draw_file is None) != (roster_file is None) or (url and draw_file):
        raise click.UsageError("Give --url, or --draw and --roster together.")
    if draw_file is not None and roster_file is not None:
        draw, roster = read_draw(draw_file.read_bytes()), _read_roster(roster_file)
    else:
        draw, roster = _downloaded(url or Settings.from_environment().public_url, occurrence)
    if not draw.drawn:
        raise ConflictError(
            f"nothing is drawn yet. The commitment is {draw.commitment}: note it, and give it with"
            " --commitment after the draw"
        )
    wrong = list(mistakes(draw, roster, commitment and commitment.lower()))
    for sentence in wrong:
        click.echo(f"WRONG: {sentence}")
    if not wrong:
        click.echo(
            f"The draw is right: {draw.places:,} places; digest and seed agree with what was shown."
        )
        wrong += _tell_places(draw, roster, occurrence, buyer, index)
    sys.exit(int(bool(wrong)))


def _read_roster(file: Path) -> bytes:
    if file.stat().st_size > PLACES_MAX * LEAF_BYTES:
        raise InvalidRequestError(f"{file} is longer than a roster of {PLACES_MAX:,} places")
    return file.read_bytes()


def _downloaded(url: str, occurrence: str) -> tuple[PublishedDraw, bytes]:
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task("places of the roster", total=None)

        def move(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        return asyncio.run(download(url, occurrence, move))


def _tell_places(
    draw: PublishedDraw, roster: bytes, occurrence: str, buyer: str | None, index: int | None
) -> Iterator[str]:
    """Print the places that were asked for; yield what could not be told."""
    if buyer is not None:
        place = place_of_buyer(draw, roster, occurrence, buyer)
        if place is None:
            sentence = (
                f"Buyer {buyer} has no place in this draw. Who gave it up has none, and who joined"
                " after the roster was closed stands behind it, in the order of arrival."
            )
            click.echo(sentence)
            yield sentence
        else:
            click.echo(f"Buyer {buyer} has {_told(place)}.")
    if index is not None:
        click.echo(f"There is {_told(place_of_index(draw, index))}.")


def _told(place: Place) -> str:
    return f"index {place.index} in the roster, and so number {place.number} in line"
