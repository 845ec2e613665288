"""The ``Stripe-Signature`` header: ``t=SECONDS,v1=HEX`` (HMAC-SHA256 of ``t.body``)."""

from __future__ import annotations

import hashlib
import hmac
import time


def sign(body: bytes, secret: str, at_s: int | None = None) -> str:
    """Return the header for ``body``, signed now or at ``at_s`` (seconds since the epoch)."""
    at_s = int(time.time()) if at_s is None else at_s
    mac = hmac.new(secret.encode(), b"%d." % at_s + body, hashlib.sha256)
    return f"t={at_s},v1={mac.hexdigest()}"
