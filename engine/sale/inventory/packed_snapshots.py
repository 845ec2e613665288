"""Decodes a snapshot in parts, so that a thread does not keep the others from running.

A stadium's snapshot decoded at once holds the interpreter for some 50 ms.
"""

from __future__ import annotations

import time
from typing import Final

import msgspec
from msgspec.structs import replace

from engine.sale.inventory.snapshot import Section, Snapshot

_PART_BYTES: Final = 16_384  # a smaller snapshot is decoded at once: less than a millisecond

_whole = msgspec.msgpack.Decoder(Snapshot)
_members = msgspec.msgpack.Decoder(dict[str, msgspec.Raw])
_parts = msgspec.msgpack.Decoder(tuple[msgspec.Raw, ...])
_section = msgspec.msgpack.Decoder(Section)


def decode_snapshot(packed: bytes) -> Snapshot:
    """Return the snapshot. Raises ``msgspec.MsgspecError``. Blocks: for a thread."""
    if len(packed) <= _PART_BYTES:
        return _whole.decode(packed)
    members = _members.decode(packed)
    parts = _parts.decode(members.pop("sections", msgspec.Raw(b"\x90")))
    head = _whole.decode(msgspec.msgpack.encode(members))
    return replace(head, sections=tuple(map(_decoded, parts)))


def _decoded(part: msgspec.Raw) -> Section:
    let_others_run()
    return _section.decode(part)


def let_others_run() -> None:
    """Give the interpreter to other threads, first of all to the event loop's."""
    time.sleep(0)
