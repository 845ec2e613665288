"""The names of all keys. lua/README.md says what each holds, who owns it, how long it lives.

Everything of one occurrence, and the stream it writes, shares the hash tag of
its logical shard, so one script may touch it all on a Cluster too.
"""

from __future__ import annotations

SHARD_COUNT = 16  # fixed at install: order numbers and key names depend on it

OCCURRENCES = "onsale:occurrences"  # hash: occurrence id -> shard number
REBUILDING = "onsale:rebuilding"  # hash: occurrence -> shard, of rebuilds that have not ended
CATALOGUE = "onsale:catalogue"  # counter of publications, by which processes see that one was made
EVENT_CURSOR = "onsale:provider:events"  # time of the provider's newest event that was looked at, s


def shard_tag(shard: int) -> str:
    """Return the hash tag of a shard, e.g. ``{s07}``."""
    return f"{{s{shard:02d}}}"


def stream(shard: int) -> str:
    """Return the key of the shard's stream of records."""
    return f"{shard_tag(shard)}:log"


def sequence(shard: int) -> str:
    """Return the key of the shard's count of orders."""
    return f"{shard_tag(shard)}:sequence"


def prefix(shard: int, occurrence: str) -> str:
    """Return what every key of an occurrence begins with."""
    return f"{shard_tag(shard)}:{occurrence}"


STREAMS = tuple(stream(shard) for shard in range(SHARD_COUNT))
