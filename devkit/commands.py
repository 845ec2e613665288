"""``onsale up``."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from devkit.up import Options, run


@click.command()
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".onsale"),
    show_default=True,
    help="Where the databases, mail and logs are kept between runs.",
)
@click.option("--port", type=click.IntRange(1, 65_535), default=8080, show_default=True)
@click.option(
    "--api-processes",
    type=click.IntRange(1, 64),
    default=2,
    show_default=True,
    help="API processes that share the port.",
)
@click.option("--fresh", is_flag=True, help="Begin anew: throw away what earlier runs left.")
def up(data: Path, port: int, api_processes: int, fresh: bool) -> None:
    """Run everything on this machine, and load the demo event.

    Valkey and PostgreSQL come along, unless REDIS_URL or DATABASE_URL is set.
    """
    asyncio.run(run(Options(data=data, port=port, api_processes=api_processes, fresh=fresh)))
