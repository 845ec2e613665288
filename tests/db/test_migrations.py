from __future__ import annotations

import re

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from click.testing import CliRunner
from sqlalchemy import Connection, Engine, create_engine, make_url, text
from sqlalchemy.pool import NullPool

from engine.app.cli import main
from engine.app.models import Base
from engine.platform.postgres.errors import DatabaseUnavailableError
from engine.platform.postgres.migration import alembic_config, upgrade
from engine.platform.postgres.session import sqlalchemy_url

_CONSTRAINTS = text(
    "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE connamespace = 'public'::regnamespace AND conrelid <> 0"
    " AND conrelid::regclass::text <> 'alembic_version'"
)
_INDEXES = text("SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'")
_TABLES = text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")


def _engine(database_url: str) -> Engine:
    return create_engine(sqlalchemy_url(database_url, "psycopg"), poolclass=NullPool)


def _rows(connection: Connection, query: object) -> set[tuple[str, ...]]:
    return {tuple(row) for row in connection.execute(query)}  # type: ignore[call-overload]


def test_models_and_migrations_agree(database_url: str) -> None:
    with _engine(database_url).connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, Base.metadata) == []


def test_constraints_and_indexes_of_models_and_migrations_agree(database_url: str) -> None:
    # Alembic compares neither CHECK constraints nor expressions of indexes
    with _engine(database_url).connect() as connection:
        migrated = _rows(connection, _CONSTRAINTS), _rows(connection, _INDEXES)
        version = "CREATE UNIQUE INDEX alembic_version_pkc"
        indexes = {row for row in migrated[1] if not row[0].startswith(version)}
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
        Base.metadata.create_all(connection)
        assert _rows(connection, _CONSTRAINTS) == migrated[0]
        assert _rows(connection, _INDEXES) == indexes
        connection.rollback()


def test_downgrade_takes_all_away_and_upgrade_brings_it_back(database_url: str) -> None:
    engine = _engine(database_url)
    with engine.connect() as connection:
        before = _rows(connection, _TABLES), _rows(connection, _CONSTRAINTS)
    command.downgrade(alembic_config(database_url), "base")
    with engine.connect() as connection:
        assert _rows(connection, _TABLES) == {("alembic_version",)}
    upgrade(database_url)
    with engine.connect() as connection:
        assert (_rows(connection, _TABLES), _rows(connection, _CONSTRAINTS)) == before


def test_every_foreign_key_has_an_index_that_begins_with_it(database_url: str) -> None:
    query = text(
        "SELECT c.conrelid::regclass::text, c.conname FROM pg_constraint c"
        " WHERE c.contype = 'f' AND c.connamespace = 'public'::regnamespace"
        " AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.conrelid"
        " AND (i.indkey::int2[])[0:cardinality(c.conkey)-1] @> c.conkey)"
    )
    with _engine(database_url).connect() as connection:
        assert _rows(connection, query) == set()


def test_migrate_makes_a_missing_database_in_development_only(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{make_url(database_url).database}_missing"
    missing = make_url(database_url).set(database=name).render_as_string(hide_password=False)
    with pytest.raises(DatabaseUnavailableError, match=f'no database "{name}"'):
        upgrade(missing)
    monkeypatch.setenv("DATABASE_URL", missing)
    try:
        for _ in range(2):
            result = CliRunner().invoke(main, ["migrate"], catch_exceptions=False)
            assert (result.exit_code, "onsale load" in result.output) == (0, True)
        with _engine(missing).connect() as connection:
            assert ("occurrences",) in _rows(connection, _TABLES)
    finally:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())


def test_migrate_names_the_address_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://postgres@127.0.0.1:1/onsale")
    result = CliRunner().invoke(main, ["migrate"])
    assert result.exit_code == 2
    assert re.search(r"127\.0\.0\.1:1 does not answer.*DATABASE_URL", result.output)
