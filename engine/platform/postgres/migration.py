"""Bring a database to the newest schema, in this process."""

from __future__ import annotations

import psycopg
from alembic import command
from alembic.config import Config
from psycopg import sql
from sqlalchemy import make_url

from engine.core.resources import folder
from engine.platform.postgres.errors import DatabaseUnavailableError
from engine.platform.postgres.session import CONNECT_TIMEOUT_S

MIGRATIONS = folder("migrations")


def alembic_config(database_url: str) -> Config:
    """Return Alembic's configuration for this database."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["database_url"] = database_url
    return config


def upgrade(database_url: str, *, create: bool = False) -> None:
    """Upgrade to the newest revision; two that do so at once wait for each other.

    ``create``: make the database when the server does not have it. Blocks: call
    it in a thread when an event loop runs. Raises :class:`DatabaseUnavailableError`.
    """
    _require(database_url, create=create)
    command.upgrade(alembic_config(database_url), "head")


def _require(database_url: str, *, create: bool) -> None:
    url = make_url(database_url)
    try:
        psycopg.connect(database_url, connect_timeout=int(CONNECT_TIMEOUT_S)).close()
    except psycopg.OperationalError as error:
        if f'database "{url.database}" does not exist' not in str(error):
            raise DatabaseUnavailableError(
                f"PostgreSQL at {url.host}:{url.port or 5432} does not answer: start it"
                f" (`onsale up` brings one) or set DATABASE_URL. It said: {error}"
            ) from error
        if not create:
            raise DatabaseUnavailableError(
                f'there is no database "{url.database}" at {url.host}:{url.port or 5432}:'
                " create it, or set DATABASE_URL"
            ) from error
        _create(database_url)


def _create(database_url: str) -> None:
    url = make_url(database_url)
    server = url.set(database="postgres").render_as_string(hide_password=False)
    with psycopg.connect(server, autocommit=True) as connection:
        name = sql.Identifier(url.database or "")
        try:
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))
        except (psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
            return  # another process was quicker
