"""msgpack as the scripts speak it: ``cmsgpack`` in Lua knows no binary type, only strings."""

from __future__ import annotations

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
