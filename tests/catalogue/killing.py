"""Ends a publication at any of the moments at which its process could be killed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import Connection

_WRITES = {"EVALSHA", "EVAL", "HSET", "INCRBY", "SET", "MSET"}


class KilledError(BaseException):
    """As if the process had been killed here."""


class Moments:
    """Counts the writes to Redis and the commits; ``killed_at``: the moment that ends it.

    Every write has a moment after it, which is the one before the next.
    """

    def __init__(self, killed_at: int | None) -> None:
        self.killed_at = killed_at
        self.passed = 0

    def moment(self) -> None:
        self.passed += 1
        if self.passed == self.killed_at:
            raise KilledError


@contextmanager
def killed_at(patch: pytest.MonkeyPatch, moment: int | None) -> Iterator[Moments]:
    moments = Moments(moment)
    execute: Any = Redis.execute_command
    commit: Any = Connection._commit_impl

    async def execute_counted(self: Redis, *args: Any, **options: Any) -> Any:
        if args[0] not in _WRITES:
            return await execute(self, *args, **options)
        answer = await execute(self, *args, **options)
        moments.moment()
        return answer

    def commit_counted(self: Connection) -> None:
        commit(self)
        moments.moment()

    with patch.context() as patched:
        patched.setattr(Redis, "execute_command", execute_counted)
        patched.setattr(Connection, "_commit_impl", commit_counted)
        yield moments
