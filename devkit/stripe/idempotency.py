"""Idempotency keys: the first answer is kept and replayed; other use of a key is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from devkit.stripe.errors import ApiError
from devkit.stripe.forms import Pairs
from devkit.stripe.objects import SavedAnswer

_ANSWERS_MAX = 50_000  # the oldest is forgotten; about 1.5 KiB each
_KEY_LENGTH_MAX = 255


def digest(method: str, path: str, fields: Pairs) -> str:
    """Return what two requests share if they ask for the same thing."""
    text = repr((method, path, sorted(fields)))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class Answers:
    """The answers by key, at most 50,000, and the keys whose request is under way."""

    def __init__(self) -> None:
        self._answers: dict[str, SavedAnswer] = {}
        self._running: set[str] = set()

    def __iter__(self) -> Iterator[SavedAnswer]:
        return iter(self._answers.values())

    def load(self, answer: SavedAnswer) -> None:
        """Keep an answer."""
        self._answers[answer.key] = answer
        if len(self._answers) > _ANSWERS_MAX:
            del self._answers[next(iter(self._answers))]

    def begin(self, key: str, request_digest: str) -> SavedAnswer | None:
        """Return the answer to replay, or None and take the key until :meth:`end`.

        Raises :class:`ApiError`: 400 for another request under the same key,
        409 while the first one is under way.
        """
        if len(key) > _KEY_LENGTH_MAX:
            raise ApiError(
                400,
                "idempotency_error",
                f"Idempotency keys have at most {_KEY_LENGTH_MAX} characters",
            )
        answer = self._answers.get(key)
        if answer is not None:
            if answer.digest != request_digest:
                raise ApiError(
                    400,
                    "idempotency_error",
                    "Keys for idempotent requests can only be used with the parameters"
                    " that they were first used with",
                )
            return answer
        if key in self._running:
            raise ApiError(
                409,
                "idempotency_error",
                "Another request with this idempotency key is under way",
                code="idempotency_key_in_use",
            )
        self._running.add(key)
        return None

    def end(self, key: str) -> None:
        """Give the key free."""
        self._running.discard(key)
