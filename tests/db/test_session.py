from __future__ import annotations

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError

from engine.platform.postgres.errors import DatabaseUnavailableError
from engine.platform.postgres.session import sessions, unavailable_named


async def _execute(database_url: str, statement: str) -> None:
    async with sessions(database_url) as factory, factory() as session:
        await session.execute(text(statement))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"port": 1}, "127.0.0.1:1 does not answer"),
        ({"database": "no_such_database"}, "run `onsale migrate`"),
        ({"password": "wrong"}, "refuses"),
    ],
)
async def test_what_an_operator_can_mend_is_said_in_a_sentence(
    postgres_url: str, changes: dict[str, object], message: str
) -> None:
    url = make_url(postgres_url).set(**changes)  # type: ignore[arg-type] # known members only
    with pytest.raises(DatabaseUnavailableError, match=message) as caught:
        await _execute(url.render_as_string(hide_password=False), "SELECT 1")
    assert "wrong" not in caught.value.detail


async def test_other_errors_pass(database_url: str) -> None:
    with pytest.raises(DBAPIError, match="division by zero"):
        await _execute(database_url, "SELECT 1 / 0")


@pytest.mark.parametrize(
    "error",
    [
        BrokenPipeError(32, "Broken pipe"),
        ConnectionRefusedError(111, "Connect call failed"),
        FileNotFoundError(2, "No such file"),
        PermissionError(13, "Permission denied"),
        TimeoutError(),
    ],
)
def test_what_did_not_come_from_postgresql_does_not_name_it(error: OSError) -> None:
    with pytest.raises(type(error)) as caught, unavailable_named("postgresql://x@127.0.0.1/x"):
        raise error
    assert caught.value is error
