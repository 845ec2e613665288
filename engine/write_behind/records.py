"""Entries of the shards' streams, and the records in them."""

from __future__ import annotations

from typing import Final, TypeAlias, get_args

import msgspec

from engine.queue.documents import QueueRecord, QueueRecordKind
from engine.sale.documents import Order, RecordKind

KINDS: Final = frozenset(get_args(RecordKind))
QUEUE_KINDS: Final = frozenset(get_args(QueueRecordKind))
_QUEUE: Final = "queue."
_order: Final = msgspec.msgpack.Decoder(Order)
_queue: Final = msgspec.msgpack.Decoder(QueueRecord)


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A record as a stream has it: ``id`` in ``stream``, and its packed document."""

    stream: str
    id: str
    kind: str
    document: bytes


class Record(msgspec.Struct, frozen=True, gc=False):
    """An entry with its order decoded; ``kind`` is one of :data:`KINDS`."""

    entry: Entry
    kind: str
    order: Order


class QueueEvent(msgspec.Struct, frozen=True, gc=False):
    """An entry of a waiting room, decoded; ``kind`` is one of :data:`QUEUE_KINDS`."""

    entry: Entry
    kind: str
    record: QueueRecord


AnyRecord: TypeAlias = Record | QueueEvent


def read_entry(stream: str, entry_id: bytes, fields: dict[bytes, bytes]) -> Entry:
    """Return what Redis answered as an entry; what it lacks is empty."""
    kind = fields.get(b"k", b"").decode(errors="replace")
    document = fields.get(b"q" if kind.startswith(_QUEUE) else b"o", b"")
    return Entry(stream, entry_id.decode(), kind, document)


def decode(entry: Entry) -> AnyRecord:
    """Return the record. Raises ``ValueError`` when the entry is none."""
    if entry.kind in KINDS:
        return Record(entry, entry.kind, _order.decode(entry.document))
    if entry.kind in QUEUE_KINDS:
        record = _queue.decode(entry.document)
        _check(entry.kind, record)
        return QueueEvent(entry, entry.kind, record)
    raise ValueError(f"there is no kind of record {entry.kind!r}")


def _check(kind: str, record: QueueRecord) -> None:
    """Raise ``ValueError`` when a record lacks what its kind is about."""
    if kind == "queue.called":
        whole = 1 <= record.first <= record.last
        whole = whole and 0 <= record.empty <= record.last - record.first + 1
    elif kind in {"queue.entered", "queue.ended"}:
        whole = record.buyer != ""
    else:
        whole = kind != "queue.command" or record.command != ""
    if not whole:
        raise ValueError(f"this record makes no sense as {kind}: {record}")
