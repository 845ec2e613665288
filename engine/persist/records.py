"""Entries of the shards' streams, and the records in them."""

from __future__ import annotations

from typing import Final, get_args

import msgspec

from engine.core.documents import Order, RecordKind

KINDS: Final = frozenset(get_args(RecordKind))
_decoder: Final = msgspec.msgpack.Decoder(Order)


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A record as a stream has it: ``id`` in ``stream``, and its order's bytes."""

    stream: str
    id: str
    kind: str
    document: bytes


class Record(msgspec.Struct, frozen=True, gc=False):
    """An entry with its order decoded; ``kind`` is one of :data:`KINDS`."""

    entry: Entry
    kind: str
    order: Order


def decode(entry: Entry) -> Record:
    """Return the record. Raises ``ValueError`` when the entry is none."""
    if entry.kind not in KINDS:
        raise ValueError(f"there is no kind of record {entry.kind!r}")
    return Record(entry, entry.kind, _decoder.decode(entry.document))
