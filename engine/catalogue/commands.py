"""``onsale load``, ``onsale export`` and ``onsale publish``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import UUID

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from engine.catalogue.catalogue import Catalogue
from engine.catalogue.document import OCCURRENCES_MAX
from engine.catalogue.files import read_event
from engine.catalogue.load import Loaded
from engine.catalogue.load import load as load_catalogue
from engine.catalogue.models.venues import Venue
from engine.catalogue.naming import find_occurrences
from engine.catalogue.publish import Publication, publish_occurrence
from engine.catalogue.seat_maps import newest_seat_map, read_seat_map
from engine.catalogue.seating_plan import write_plan
from engine.catalogue.stadium import stadium
from engine.core.errors import ConflictError, NotFoundError
from engine.core.settings import Settings
from engine.organizations.models import Organization
from engine.platform.postgres.session import sessions
from engine.platform.valkey.connections import connect


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--stadium", "seats", type=int, help="Instead of a file: a stadium of this size.")
@click.option("--slug", default="stadium", show_default=True, help="The stadium event's slug.")
@click.option(
    "--occurrences",
    default=1,
    show_default=True,
    type=click.IntRange(1, OCCURRENCES_MAX),
    help="The stadium event's dates.",
)
@click.option(
    "--general",
    default=0,
    type=click.IntRange(0, 1_000_000),
    help="How many may stand in the stadium.",
)
def load(file: Path | None, seats: int | None, slug: str, occurrences: int, general: int) -> None:
    """Load an event from FILE (see data/demo.yaml), or make one in a stadium.

    Loading the same again changes nothing; loading an edited file updates what
    may change. A mistake anywhere and nothing is loaded.
    """
    if (file is None) == (seats is None):
        raise click.UsageError(
            "Name an event file such as data/demo.yaml, or give --stadium SEATS."
        )
    settings = Settings.from_environment()
    if file is not None:
        catalogue = read_event(file)
    else:
        catalogue = stadium(seats or 0, slug=slug, occurrences=occurrences, general=general)
    loaded = asyncio.run(_load(settings, catalogue))
    for line in _told(loaded):
        click.echo(line)


async def _load(settings: Settings, catalogue: Catalogue) -> Loaded:
    total = 0 if catalogue.plan is None else catalogue.plan.seat_count
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task(f"Seats of {catalogue.venue.name}", total=total)
        async with sessions(settings.database_url) as factory, factory.begin() as session:
            return await load_catalogue(
                session, catalogue, lambda count: progress.advance(task, count)
            )


def _told(loaded: Loaded) -> list[str]:
    lines = [f"Note: {notice}" for notice in loaded.notices]
    name = f"{loaded.organization}: event {loaded.event} at venue {loaded.venue}"
    if loaded.unchanged:
        lines.append(f"{name}: unchanged")
    else:
        seats = f", {loaded.seats_added:,} seats" if loaded.seats_added else ""
        counts = f"{loaded.added:,} added, {loaded.updated:,} updated, {loaded.removed:,} removed"
        lines.append(f"{name}: {counts}{seats}")
    for occurrence in loaded.occurrences:
        state = "on sale" if occurrence.published else "draft"
        lines.append(f"  occurrence {occurrence.key}: {occurrence.id} ({state})")
    several = " --all" if len(loaded.occurrences) > 1 else ""
    lines.append(f"Next: onsale publish {loaded.event}{several}")
    return lines


@click.command()
@click.argument("venue")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="A file; without: stdout.")
def export(venue: str, output: Path | None) -> None:
    """Write the seating plan of VENUE (its slug, or ORGANIZATION/SLUG) as JSON."""
    settings = Settings.from_environment()
    document = asyncio.run(_exported(settings, venue))
    if output is None:
        click.echo(document, nl=False)
        return
    output.write_bytes(document)
    click.echo(f"Wrote {output} ({len(document):,} bytes)")


async def _exported(settings: Settings, name: str) -> bytes:
    async with sessions(settings.database_url) as factory, factory() as session:
        venue = await _venue(session, name)
        seat_map = await newest_seat_map(session, venue.id)
        if seat_map is None:
            raise NotFoundError(f"venue {name} has no seating plan")
        return write_plan(await read_seat_map(session, seat_map))


async def _venue(session: AsyncSession, name: str) -> Venue:
    organization, _, slug = name.rpartition("/")
    query = select(Venue, Organization.slug).join(Organization).where(Venue.slug == slug)
    if organization:
        query = query.where(Organization.slug == organization)
    found = (await session.execute(query.order_by(Organization.slug))).all()
    if not found:
        known = await session.scalars(select(Venue.slug).order_by(Venue.slug).limit(10))
        listed = ", ".join(known) or "none: `onsale load EVENT.yaml` makes one"
        raise NotFoundError(f"there is no venue {name}; there are {listed}")
    if len(found) > 1:
        named = ", ".join(f"{owner}/{slug}" for _, owner in found)
        raise ConflictError(f"several organizations have a venue {slug}: say which of {named}")
    venue: Venue = found[0][0]
    return venue


@click.command()
@click.argument("name")
@click.option("--all", "every", is_flag=True, help="All occurrences of the event.")
def publish(name: str, every: bool) -> None:
    """Put NAME on sale: an event's slug, EVENT/KEY, or an occurrence's id.

    After an edit, publish again: what may change in mid-sale is applied, all or
    nothing; the rest is refused by name.
    """
    settings = Settings.from_environment()
    for line in asyncio.run(_publish(settings, name, every=every)):
        click.echo(line)


async def _publish(settings: Settings, name: str, *, every: bool) -> list[str]:
    lines: list[str] = []
    async with sessions(settings.database_url) as factory:
        async with factory() as session:
            occurrences = await _occurrences(session, name, every=every)
        client = connect(settings.redis_url)
        try:
            for occurrence_id in occurrences:
                lines += _outcome(await publish_occurrence(factory, client, occurrence_id))
        finally:
            await client.aclose()
    lines.append(f"Next: curl {settings.public_url}/v1/occurrences/{occurrences[0].hex}")
    return lines


async def _occurrences(session: AsyncSession, name: str, *, every: bool) -> list[UUID]:
    found = await find_occurrences(session, name)
    if len(found) > 1 and not every:
        listed = "".join(f"\n  {one}" for one in found)
        raise ConflictError(
            f"event {name} has {len(found)} occurrences: name one by its id, or give --all{listed}"
        )
    return [one.id for one in found]


def _outcome(done: Publication) -> list[str]:
    place = f"{done.event} {done.key}: occurrence {done.occurrence} (shard {done.shard:02d})"
    if done.outcome == "unchanged":
        lines = [f"{place}: unchanged, version {done.version}"]
    else:
        standing = f" and {done.general:,} standing" if done.general else ""
        sold = f"{done.seats:,} seats{standing}"
        lines = [f"{place}: {done.outcome} with {sold}, version {done.version}"]
    lines += [f"  {change}" for change in done.changes]
    lines += [f"  {label}: {moment}" for label, moment in done.times]
    return lines + [f"  Note: {notice}" for notice in done.notices]
