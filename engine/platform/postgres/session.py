"""Ways to reach PostgreSQL, made from the one ``database_url`` of the settings.

The URL is plain ``postgresql://``; asyncpg takes it as it is, SQLAlchemy is
told its driver here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from traceback import walk_tb

import asyncpg
from sqlalchemy import URL, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from engine.platform.postgres.errors import DatabaseUnavailableError

CONNECT_TIMEOUT_S = 10.0  # a server that starts up answers within a second; a lost one never
_NOT_MIGRATED = {"3D000", "42P01"}  # no such database, no such table
_REFUSED = "28"  # the class of authorization errors
_AWAY = ("08", "57P")  # connection errors; being shut down or started
_POOL_SIZE = 5
_POOL_OVERFLOW = 5


def sqlalchemy_url(database_url: str, driver: str) -> URL:
    """Return the URL for SQLAlchemy with ``driver`` ("asyncpg" or "psycopg")."""
    return make_url(database_url).set(drivername=f"postgresql+{driver}")


def async_engine(database_url: str) -> AsyncEngine:
    """Return an engine with a small pool; whoever makes it disposes of it."""
    return create_async_engine(
        sqlalchemy_url(database_url, "asyncpg"),
        pool_size=_POOL_SIZE,
        max_overflow=_POOL_OVERFLOW,
        pool_pre_ping=True,
        connect_args={"timeout": CONNECT_TIMEOUT_S},
    )


def session_factory(engine: AsyncEngine) -> async_sessionmaker[AsyncSession]:
    """Return a factory of sessions whose objects stay readable after a commit."""
    return async_sessionmaker(engine, expire_on_commit=False)


@asynccontextmanager
async def sessions(database_url: str) -> AsyncIterator[async_sessionmaker[AsyncSession]]:
    """Give a session factory whose engine is disposed of at the end.

    Raises :class:`DatabaseUnavailableError` in place of the driver's own errors.
    """
    engine = async_engine(database_url)
    try:
        with unavailable_named(database_url):
            yield session_factory(engine)
    finally:
        await engine.dispose()


@contextmanager
def unavailable_named(database_url: str) -> Iterator[None]:
    """Raise :class:`DatabaseUnavailableError`, naming the address, for what an operator can mend.

    That is a server that does not answer or refuses, and a database or schema
    that is not there yet. Other errors pass, those of files and other servers too.
    """
    try:
        yield
    except (DBAPIError, asyncpg.PostgresError, OSError) as error:
        if isinstance(error, OSError) and not _is_of_the_driver(error):
            raise
        cause = error.orig if isinstance(error, DBAPIError) else error
        state = str(getattr(cause, "sqlstate", None) or "")
        lost = isinstance(error, OSError | InterfaceError) or (
            isinstance(error, DBAPIError) and error.connection_invalidated
        )
        if state in _NOT_MIGRATED:
            what = "has no tables of ours yet: run `onsale migrate`"
        elif state.startswith(_REFUSED):
            what = f"refuses ({cause}): check DATABASE_URL"
        elif lost or state.startswith(_AWAY):
            what = "does not answer: start it (`onsale up` brings one) or set DATABASE_URL"
        else:
            raise
        url = make_url(database_url)
        raise DatabaseUnavailableError(
            f"PostgreSQL at {url.host}:{url.port or 5432} {what}", retry_after_s=1
        ) from error


def _is_of_the_driver(error: OSError) -> bool:
    """Tell whether an error of the system came up through the driver: its type does not say."""
    return any(
        frame.f_globals.get("__name__", "").partition(".")[0] == "asyncpg"
        for frame, _ in walk_tb(error.__traceback__)
    )
