"""Whether the store takes writes: it can answer every read and refuse all of them."""

from __future__ import annotations

from typing import Final

from redis.asyncio import Redis
from redis.exceptions import ResponseError

_KEY: Final = "onsale:writable"
_TTL_MS: Final = 60_000

# What a server says when it takes no writes (the first word of its error), for people.
_REASONS: Final = {
    "OOM": "it is out of memory (maxmemory)",
    "MISCONF": "it cannot save to its disk",
    "READONLY": "it is a replica",
    "NOREPLICAS": "it has too few replicas (min-replicas-to-write)",
    "LOADING": "it loads its data",
    "MASTERDOWN": "it is a replica that has lost its primary",
    "CLUSTERDOWN": "the cluster is down",
    "NOAUTH": "it wants a password",
    "WRONGPASS": "it wants another password",
    "NOPERM": "this user may not write",
}


async def refuses_writes(client: Redis) -> str | None:
    """Write one small key; return why that is refused, or None. Raises ``RedisError``, ``OSError``.

    The errors that say that the server cannot be reached are raised.
    """
    try:
        await client.set(_KEY, b"1", px=_TTL_MS)
    except ResponseError as error:
        return _reason(str(error), type(error).__name__)
    return None


def _reason(message: str, kind: str) -> str:
    word = message.partition(" ")[0].rstrip(":")
    return _REASONS.get(word) or _BY_KIND.get(kind) or "it refuses commands"


# redis-py takes the first word off where it has an exception of its own.
_BY_KIND: Final = {
    "OutOfMemoryError": _REASONS["OOM"],
    "ReadOnlyError": _REASONS["READONLY"],
    "MasterDownError": _REASONS["MASTERDOWN"],
    "ClusterDownError": _REASONS["CLUSTERDOWN"],
    "NoPermissionError": _REASONS["NOPERM"],
}
