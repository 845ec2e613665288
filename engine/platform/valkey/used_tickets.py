"""Tickets for live connections that were used: ``{sNN}:ticket:<digest>``."""

from __future__ import annotations

from engine.core.errors import InvalidRequestError
from engine.platform.valkey import keys
from engine.platform.valkey.batcher import Batcher
from engine.platform.valkey.codes import Code


async def use_ticket(batcher: Batcher, digest: bytes, ttl_s: int) -> bool:
    """Return whether a ticket is used for the first time; it is remembered for ``ttl_s`` seconds.

    ``digest``: 16 bytes. Raises ``OverloadedError``, ``StoreUnavailableError``.
    """
    place = f"{keys.shard_tag(digest[0] % keys.SHARD_COUNT)}:ticket"
    answer = await batcher.submit("ticket_use", place, (digest.hex(), ttl_s))
    if answer[0] != Code.OK:
        raise InvalidRequestError("A used ticket can be remembered for a week at most")
    return bool(answer[1] == 1)
