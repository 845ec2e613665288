"""Watches how many records wait to be written, so that memory is never at risk."""

from __future__ import annotations

import asyncio
import logging

from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine.core.tasks import end
from engine.platform.valkey import keys
from engine.sale.errors import BacklogFullError

log = logging.getLogger(__name__)

_RETRY_AFTER_S = 5


class Backlog:
    """``length`` is the number of unwritten records, read every ``poll_ms``."""

    def __init__(self, client: Redis, *, length_max: int, poll_ms: int) -> None:
        self._client = client
        self._length_max = length_max
        self._poll_s = poll_ms / 1000
        self._task: asyncio.Task[None] | None = None
        self.length = 0

    async def start(self) -> None:
        """Begin to watch."""
        await self.read()
        self._task = asyncio.create_task(self._watch(), name="backlog")

    async def stop(self) -> None:
        """Stop watching."""
        await end(self._task)
        self._task = None

    def check(self) -> None:
        """Raise ``BacklogFullError`` when new holds have to wait."""
        if self.length >= self._length_max:
            raise BacklogFullError(
                "Orders are being written down; new holds are taken again in a moment",
                retry_after_s=_RETRY_AFTER_S,
            )

    async def read(self) -> None:
        """Read the length now; with Redis away it stays as it was."""
        try:
            async with self._client.pipeline(transaction=False) as pipe:
                for stream in keys.STREAMS:
                    pipe.xlen(stream)
                self.length = sum(await pipe.execute())
        except (RedisError, OSError) as error:
            log.warning("the backlog cannot be read now: %s", error)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            await self.read()
