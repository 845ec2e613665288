"""Identifiers of the form that Stripe's own have: a prefix and alphanumerics."""

from __future__ import annotations

import os
from string import ascii_letters, digits

_ALPHABET = (digits + ascii_letters).encode()
_TABLE = bytes(_ALPHABET[value % len(_ALPHABET)] for value in range(256))


def token(length: int) -> str:
    """Return ``length`` random alphanumerics (5.9 bits each)."""
    return os.urandom(length).translate(_TABLE).decode("ascii")


def new_id(prefix: str) -> str:
    """Return e.g. ``pi_3Q...``: the prefix, a generation digit, 23 alphanumerics."""
    return f"{prefix}_{'3' if prefix in {'pi', 'ch', 're'} else '1'}{token(23)}"


def client_secret(intent: str) -> str:
    """Return what lets a buyer's client confirm exactly this intent."""
    return f"{intent}_secret_{token(25)}"
