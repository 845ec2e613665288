"""What every response carries: the id of its request, and headers that keep browsers careful."""

from __future__ import annotations

import re

from engine.core.ids import new_id

REQUEST_ID_HEADER = "X-Request-Id"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")

# Responses are data for programs; none may be framed, sniffed, or run. Pages set their own policy.
SECURITY_HEADERS: tuple[tuple[str, str], ...] = (
    ("Server", "onsale"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)
_A_YEAR_S = 31_536_000


def security_headers(public_url: str) -> tuple[tuple[str, str], ...]:
    """Return the headers for a site at ``public_url``; over https it stays on https for a year."""
    if public_url.startswith("https://"):
        return (*SECURITY_HEADERS, ("Strict-Transport-Security", f"max-age={_A_YEAR_S}"))
    return SECURITY_HEADERS


def request_id(given: str | None) -> str:
    """Return the caller's request id if it is 8 to 64 harmless characters, else a new one."""
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    return new_id()
