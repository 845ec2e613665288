"""Records that could not be written: kept in PostgreSQL with their error, listed, replayed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

import msgspec

from engine.write_behind.names import NamesCache
from engine.write_behind.records import Entry, decode
from engine.write_behind.tables import Connected
from engine.write_behind.writer import BAD_DATA, write_records

_ERROR_LENGTH_MAX = 2_000
_PAGE = 100


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A parked record. ``parked_at``: ms since the epoch."""

    id: str
    entry: Entry
    error: str
    attempts: int
    parked_at: int


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """What came of replaying one letter; ``error`` is empty when it was written."""

    letter: DeadLetter
    error: str


_PARK: Final = """
    INSERT INTO dead_letters (stream, entry, kind, record, error)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::text[])
    ON CONFLICT (stream, entry) DO UPDATE
    SET error = excluded.error, attempts = dead_letters.attempts + 1, replayed_at = NULL"""

_MAKE_ROOM: Final = "UPDATE dead_letter_level SET level = greatest(0, level - 1)"


async def park(connection: Connected, letters: Iterable[tuple[Entry, Exception]]) -> None:
    """Keep records that cannot be written. Parking one again counts another attempt."""
    rows = [
        (entry.stream, entry.id, entry.kind, entry.document, describe(error))
        for entry, error in letters
    ]
    if rows:
        await connection.execute(_PARK, *zip(*rows, strict=True))


def describe(error: Exception) -> str:
    """Return an error as text that PostgreSQL can keep."""
    text = f"{type(error).__name__}: {error}".replace("\x00", "")
    return text[:_ERROR_LENGTH_MAX]


async def count_waiting(connection: Connected) -> int:
    """Return how many letters nobody has replayed."""
    found: int = await connection.fetchval(
        "SELECT count(*) FROM dead_letters WHERE replayed_at IS NULL"
    )
    return found


async def waiting(connection: Connected) -> AsyncIterator[DeadLetter]:
    """Yield the letters that nobody has replayed, oldest first, a page at a time."""
    after: Any = "00000000000000000000000000000000"
    while True:
        page = await connection.fetch(
            "SELECT id, stream, entry, kind, record, error, attempts, parked_at"
            " FROM dead_letters WHERE replayed_at IS NULL AND id > $1 ORDER BY id LIMIT $2",
            after,
            _PAGE,
        )
        for row in page:
            yield DeadLetter(
                id=row["id"].hex,
                entry=Entry(row["stream"], row["entry"], row["kind"], row["record"]),
                error=row["error"],
                attempts=row["attempts"],
                parked_at=row["parked_at"],
            )
        if len(page) < _PAGE:
            return
        after = page[-1]["id"]


async def replay(connection: Connected, letter: DeadLetter, cache: NamesCache) -> Replay:
    """Write a parked record now; it is marked as replayed in the same transaction.

    A record that fails again stays parked, with its new error. Raises what
    asyncpg raises when PostgreSQL itself fails.
    """
    try:
        async with connection.transaction():
            await write_records(connection, [decode(letter.entry)], cache)
            await connection.execute(
                "UPDATE dead_letters SET replayed_at = now() WHERE id = $1", letter.id
            )
            await connection.execute(_MAKE_ROOM)
    except BAD_DATA as error:
        await park(connection, [(letter.entry, error)])
        return Replay(letter=letter, error=describe(error))
    return Replay(letter=letter, error="")
