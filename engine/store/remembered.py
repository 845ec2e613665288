"""What is kept for a while under a digest, and only once: ``{sNN}:<kind>:<digest>``."""

from __future__ import annotations

from typing import Literal, NamedTuple

from engine.core.errors import InvalidRequestError
from engine.store import keys
from engine.store.batcher import Batcher
from engine.store.codes import Code

Kind = Literal[
    "guest",  # the answer to the idempotency key of a request for a guest's token
    "ticket",  # the use of a ticket for a live connection
]


class Remembered(NamedTuple):
    """What is kept now. ``new``: it was kept this moment, and not by an earlier request."""

    value: bytes
    new: bool


async def remember(
    batcher: Batcher, kind: Kind, digest: bytes, value: bytes, ttl_s: int
) -> Remembered:
    """Keep ``value`` for ``ttl_s`` seconds under a digest unless something is there already.

    ``digest``: 16 bytes; ``value``: at most 2,000. Raises ``OverloadedError``,
    ``StoreUnavailableError``.
    """
    place = f"{keys.shard_tag(digest[0] % keys.SHARD_COUNT)}:{kind}"
    answer = await batcher.submit("remember", place, (digest.hex(), value, ttl_s))
    if answer[0] != Code.OK:
        raise InvalidRequestError("This cannot be remembered: the value is too long")
    return Remembered(answer[1], answer[2] == 1)
