"""API keys: Bearer, Basic (the key as the user name), or ``key=`` as buyers' clients send it."""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import NamedTuple

from devkit.stripe.errors import unauthorized
from devkit.stripe.forms import Pairs


class Keys(NamedTuple):
    """The account's two keys."""

    secret: str
    publishable: str

    def is_secret(self, header: str | None, fields: Pairs, *, public: bool) -> bool:
        """Tell whether the call is made with the secret key; takes ``key`` out of ``fields``.

        ``public``: the publishable key will do. Raises ``ApiError`` (401).
        """
        given = _given(header, fields)
        if hmac.compare_digest(given.encode(), self.secret.encode()):
            return True
        if not hmac.compare_digest(given.encode(), self.publishable.encode()):
            raise unauthorized(f"Invalid API Key provided: {given[:8]}{'*' * 8}{given[-4:]}")
        if not public:
            raise unauthorized(
                "This call cannot be made with a publishable key: use the secret key",
                code="secret_key_required",
            )
        return False


def _given(header: str | None, fields: Pairs) -> str:
    scheme, _, value = (header or "").partition(" ")
    given = ""
    if scheme.lower() == "bearer":
        given = value.strip()
    elif scheme.lower() == "basic":
        try:
            given = base64.b64decode(value, validate=True).decode("utf-8").partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            given = ""
    for index, (name, field) in enumerate(fields):
        if name == "key":
            del fields[index]
            given = given or field
            break
    if not given:
        raise unauthorized("No API key was given: send 'Authorization: Bearer YOUR_SECRET_KEY'")
    return given
