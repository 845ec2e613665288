"""What was answered to requests for a guest's token, for a day: ``onsale:guest:<digest>``."""

from __future__ import annotations

from redis.asyncio import Redis
from redis.exceptions import RedisError

from engine.core.errors import StoreUnavailableError


async def remember_guest(client: Redis, key_digest: str, value: bytes, ttl_s: int) -> bytes:
    """Keep ``value`` under the digest of an idempotency key unless something is there already.

    Returns what is kept now: ``value``, or what an earlier request left.
    Raises :class:`StoreUnavailableError`.
    """
    try:
        earlier = await client.set(f"onsale:guest:{key_digest}", value, nx=True, get=True, ex=ttl_s)
    except (RedisError, OSError) as error:
        raise StoreUnavailableError("Try again with the same Idempotency-Key") from error
    return earlier if isinstance(earlier, bytes) else value
