"""msgpack as the scripts speak it: ``cmsgpack`` in Lua knows no binary type, only strings."""

from __future__ import annotations

import struct
from typing import Any

import msgpack

_packer = msgpack.Packer(use_bin_type=False, autoreset=True)


def pack(value: Any) -> bytes:
    """Pack for Lua; bytes and text both become strings."""
    packed: bytes = _packer.pack(value)
    return packed


def unpack(packed: bytes) -> Any:
    """Unpack what a script answered; every string is bytes, as some are packed documents."""
    return msgpack.unpackb(packed, raw=True, strict_map_key=False)


def packed_limits(pause_ms: int, pause_ms_max: int, network_free: int) -> bytes:
    """Return what the budget of a hold begins with (lua/includes/unused.lua).

    8 bytes of the buyer's network follow, if it is known.
    """
    return struct.pack(">III", pause_ms, pause_ms_max, network_free)
