"""Alembic's entry: runs the migrations in one transaction, one process at a time."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine, pool, text

from engine.app.models import Base
from engine.core.settings import Settings
from engine.platform.postgres.session import sqlalchemy_url

LOCK = 0x6F6E73616C65  # "onsale": an advisory lock that only migrations take


def run() -> None:
    """Run what is missing, or compare for ``alembic revision --autogenerate``."""
    database_url = context.config.attributes.get("database_url")
    if database_url is None:  # Alembic's own command line
        database_url = Settings.from_environment().database_url
    engine = create_engine(sqlalchemy_url(database_url, "psycopg"), poolclass=pool.NullPool)
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            compare_type=True,
            compare_server_default=True,
        )
        context.run_migrations()


if context.is_offline_mode():
    raise SystemExit("migrations run against a database; offline SQL is not made")
run()
