"""Buyers' tokens: JSON Web Tokens signed with HMAC-SHA-256 (RFC 7519, HS256).

The check runs on every hot request, so it does only what one pinned header
needs: the header is compared byte by byte (no other algorithm can be named),
the signature is compared in its encoded form and in constant time, and the
payload is decoded into a struct that checks every type and length.
"""

from __future__ import annotations

import binascii
import hmac
import time
from collections.abc import Callable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from engine.core.emails import EMAIL_LENGTH_MAX
from engine.core.errors import UnauthorizedError
from engine.core.ids import new_id
from engine.core.signing import Mac

TOKEN_LENGTH_MAX = 1_024  # with the longest e-mail address a guest's token has some 620 characters

_CACHE_MAX = 32_768  # verified tokens a generation, ~0.6 KiB each: two generations are 40 MiB
_HEADER = b"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"  # {"alg":"HS256","typ":"JWT"}
_START = _HEADER.decode() + "."
_SIGNATURE_LENGTH = 43  # 32 bytes in base 64 without padding
_TOKEN_LENGTH_MIN = len(_START) + 1 + 1 + _SIGNATURE_LENGTH  # a payload, and its dot
_STANDARD = bytes.maketrans(b"-_", b"+/")
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_INVALID = "The token is not valid: get a new one from POST /v1/guests"
_EXPIRED = "The token has expired: get a new one from POST /v1/guests"

_HEX = "0123456789abcdef"
_Id = Annotated[str, Meta(min_length=32, max_length=32)]
_Email = Annotated[str, Meta(max_length=EMAIL_LENGTH_MAX)]
_Network = Annotated[str, Meta(min_length=16, max_length=16)]
_Seconds = Annotated[int, Meta(ge=0, le=1 << 40)]


class Claims(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Who the caller is. ``sub``: the buyer's id; ``exp``: seconds since the epoch.

    ``net``: the name of the network that the guest was made from, if it is known.
    """

    sub: _Id
    kind: Literal["guest"]
    exp: _Seconds
    jti: Annotated[str, Meta(min_length=16, max_length=64)]
    email: _Email | None = None
    net: _Network | None = None


class _Payload(Claims, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    aud: Literal["onsale"]
    iss: Literal["onsale"]
    nbf: _Seconds = 0


def _encode64(data: bytes) -> bytes:
    return binascii.b2a_base64(data, newline=False).rstrip(b"=").translate(_URL_SAFE)


class TokenSigner:
    """Signs and verifies with one secret; remembers what it has verified until it expires.

    ``clock`` returns seconds since the epoch. The memory is bounded: two
    generations of ``cache_max`` tokens, of which the older is dropped whole.
    """

    def __init__(
        self,
        secret: str,
        *,
        clock: Callable[[], float] = time.time,
        cache_max: int = _CACHE_MAX,
    ) -> None:
        self._mac = Mac(secret.encode())
        self._clock = clock
        self._cache_max = cache_max
        self._recent: dict[str, Claims] = {}
        self._older: dict[str, Claims] = {}
        self._decoder = msgspec.json.Decoder(_Payload)
        self._encoder = msgspec.json.Encoder()

    def guest(self, email: str | None, ttl_s: int, network: str | None = None) -> Claims:
        """Return the claims of a new guest whose token is valid for ``ttl_s`` seconds."""
        return Claims(
            sub=new_id(),
            kind="guest",
            exp=int(self._clock()) + ttl_s,
            jti=new_id(),
            email=email,
            net=network,
        )

    def sign(self, claims: Claims) -> str:
        """Return the token of these claims; the same claims make the same token."""
        payload = _Payload(
            sub=claims.sub,
            kind=claims.kind,
            exp=claims.exp,
            jti=claims.jti,
            email=claims.email,
            net=claims.net,
            aud="onsale",
            iss="onsale",
        )
        signed = _HEADER + b"." + _encode64(self._encoder.encode(payload))
        return (signed + b"." + self._signature(signed)).decode()

    def issue_guest(self, email: str | None, ttl_s: int) -> str:
        """Return a token of a new guest, valid for ``ttl_s`` seconds."""
        return self.sign(self.guest(email, ttl_s))

    def verify(self, token: str) -> Claims:
        """Return the claims of a token. Raises :class:`UnauthorizedError`."""
        claims = self._recent.get(token) or self._older.get(token)
        if claims is None:
            claims = self._check(token)
            if len(self._recent) >= self._cache_max:
                self._older, self._recent = self._recent, {}
            self._recent[token] = claims
        if claims.exp <= self._clock():
            raise UnauthorizedError(_EXPIRED)
        return claims

    def _signature(self, signed: bytes) -> bytes:
        return _encode64(self._mac.digest(signed))

    def _check(self, token: str) -> Claims:
        if not _TOKEN_LENGTH_MIN <= len(token) <= TOKEN_LENGTH_MAX or not token.isascii():
            raise UnauthorizedError(_INVALID)
        if not token.startswith(_START) or token[-_SIGNATURE_LENGTH - 1] != ".":
            raise UnauthorizedError(_INVALID)
        signed = token[: -_SIGNATURE_LENGTH - 1].encode()
        signature = token[-_SIGNATURE_LENGTH:].encode()
        if not hmac.compare_digest(signature, self._signature(signed)):
            raise UnauthorizedError(_INVALID)
        payload = signed[len(_START) :]
        try:
            text = binascii.a2b_base64(payload.translate(_STANDARD) + b"==")
            found = self._decoder.decode(text)
        except (ValueError, RecursionError):  # binascii.Error and msgspec's errors are ValueErrors
            raise UnauthorizedError(_INVALID) from None
        # strip() is a fifth of the time of a pattern in the struct
        if found.sub.strip(_HEX) or found.nbf > self._clock():
            raise UnauthorizedError(_INVALID)
        return Claims(
            sub=found.sub,
            kind=found.kind,
            exp=found.exp,
            jti=found.jti,
            email=found.email,
            net=found.net,
        )
