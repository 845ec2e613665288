"""The highest count of orders that PostgreSQL knows of a shard.

Order and ticket numbers are made from the shard's count (:mod:`engine.core.ids`),
which is kept in Redis. When that was lost, it must go on above every number
that was ever given, or two buyers have the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

# $1 / :shard is the shard. All orders are looked through: this is asked once a publication.
OF_ORDERS: Final = "SELECT coalesce(max(sequence), 0) FROM orders WHERE shard = {}"
# and of its records that wait to be mended, $1 / :stream is its stream
PARKED: Final = (
    "SELECT record FROM dead_letters WHERE stream = {} AND kind LIKE 'order.%'"
    " AND replayed_at IS NULL"
)


class _Counted(msgspec.Struct):
    """Of an order only its count: whatever else is wrong with the record."""

    sequence: int = 0


_decoder: Final = msgspec.msgpack.Decoder(_Counted)


def highest(of_orders: int, parked: Iterable[bytes]) -> int:
    """Return the highest count of written orders and of parked records."""
    for record in parked:
        try:
            of_orders = max(of_orders, _decoder.decode(record).sequence)
        except msgspec.MsgspecError:
            continue  # no order at all: no number was made of it
    return of_orders
