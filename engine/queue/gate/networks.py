"""The network that a guest is of: what many guests of one client have in common.

Stock that its guests hold and do not buy is counted by it (lua/includes/unused.lua).
It is noted in the guest's token when that is made, so that holds need not look for it.
"""

from __future__ import annotations

import hashlib

from engine.queue.gate.budgets import address_blocks

_NAME_BYTES = 8


def network_name(key: bytes, address: str | None) -> str | None:
    """Return the name of an address's network, 16 hex digits: a digest keyed with ``key``.

    The widest block counts: /24 of IPv4, /48 of IPv6, which is what one site gets at most (RFC
    6177). None where there is none, as for addresses of this machine.
    """
    blocks = address_blocks(address)
    if not blocks:
        return None
    block, _ = blocks[-1]
    return hashlib.blake2b(block, digest_size=_NAME_BYTES, key=key, person=b"networks").hexdigest()
