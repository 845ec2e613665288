"""What was answered to requests for a guest's token, for a while: ``{sNN}:guest:<digest>``."""

from __future__ import annotations

from engine.core.errors import InvalidRequestError
from engine.store import keys
from engine.store.batcher import Batcher
from engine.store.codes import Code


async def remember_guest(batcher: Batcher, key_digest: bytes, value: bytes, ttl_s: int) -> bytes:
    """Keep ``value`` under the digest of an idempotency key unless something is there already.

    ``key_digest``: 16 bytes; ``value``: at most 2,000. Returns what is kept now:
    ``value``, or what an earlier request left. Raises ``OverloadedError``,
    ``StoreUnavailableError``.
    """
    place = f"{keys.shard_tag(key_digest[0] % keys.SHARD_COUNT)}:guest"
    answer = await batcher.submit("guest_remember", place, (key_digest.hex(), value, ttl_s))
    if answer[0] != Code.OK:
        raise InvalidRequestError("This cannot be remembered: the answer is too long")
    kept: bytes = answer[1]
    return kept
