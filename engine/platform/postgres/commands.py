"""``onsale migrate``."""

from __future__ import annotations

import click

from engine.core.settings import Settings
from engine.platform.postgres.migration import upgrade


@click.command()
def migrate() -> None:
    """Bring PostgreSQL to the newest schema (in development, make the database too)."""
    settings = Settings.from_environment()
    upgrade(settings.database_url, create=settings.environment == "development")
    click.echo("The schema is up to date. Next: onsale load EVENT.yaml")
