"""Idempotency keys: digests of a key, and of what it was used for."""

from __future__ import annotations

import hashlib
import re

import msgspec

from engine.platform.http.errors import IdempotencyKeyError

IDEMPOTENCY_HEADER = "Idempotency-Key"


KEY_LENGTH_MIN, KEY_LENGTH_MAX = 16, 255


_DIGEST_BYTES = 16


class Idempotency(msgspec.Struct, frozen=True, gc=False):
    """16-byte digests of the Idempotency-Key, and of the request that it stands for."""

    key_digest: bytes
    body_digest: bytes


# Between "!" and "~" are the visible ASCII characters.
_KEY = re.compile(f"[!-~]{{{KEY_LENGTH_MIN},{KEY_LENGTH_MAX}}}")


def idempotency(key: str | None, method: str, path: str, body: bytes) -> Idempotency:
    """Return the digests of an Idempotency-Key and of what it was used for.

    The method and the path count as part of the body, so that a key used for one
    step cannot fetch the answer of another. Raises :class:`IdempotencyKeyError`.
    """
    if key is None:
        raise IdempotencyKeyError(
            "Send an Idempotency-Key: a new random value for every new request, "
            "the same one when you repeat it"
        )
    if _KEY.fullmatch(key) is None:
        raise IdempotencyKeyError(
            f"An Idempotency-Key has {KEY_LENGTH_MIN} to {KEY_LENGTH_MAX} visible ASCII characters"
        )
    target = f"{method} {path}\n".encode()
    return Idempotency(
        key_digest=hashlib.blake2b(key.encode(), digest_size=_DIGEST_BYTES).digest(),
        body_digest=hashlib.blake2b(target + body, digest_size=_DIGEST_BYTES).digest(),
    )
