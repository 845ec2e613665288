"""What the text of a setting may be. A rule returns what is wrong with a value, or None.

The sentences go on after the name of the variable: "must be ...".
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import SplitResult, urlsplit

Rule = Callable[[Any], str | None]

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"(?=.{{1,253}}\Z)(?:{_LABEL}\.)*{_LABEL}\.?")
_SERVICE = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?")  # of a container
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_VISIBLE = re.compile(r"[!-~]+")
_SECRET_MAX = 512
PORT_MAX = 65_535


def parse_number(text: str, kind: type[int | float]) -> int | float:
    """Return the number that a text is. Raises ``ValueError``; ``nan`` and ``1_0`` are none."""
    pattern = _WHOLE if kind is int else _NUMBER
    if pattern.fullmatch(text) is None:
        raise ValueError(text)
    return kind(text)


def between(least: float, most: float, *, or_zero: bool = False) -> Rule:
    """Return the rule of a number; ``or_zero``: 0 switches something off."""

    def rule(value: float) -> str | None:
        if math.isfinite(value) and (least <= value <= most or (or_zero and value == 0)):
            return None
        off = ", or 0" if or_zero else ""
        return f"must be from {least:,} to {most:,}{off}"

    return rule


def one_of(*words: str) -> Rule:
    """Return the rule of a word."""
    return lambda value: None if value in words else f"must be {' or '.join(words)}"


def secret(prefixes: tuple[str, ...] = (), *, least: int = 1) -> Rule:
    """Return the rule of a secret: visible ASCII characters, ``least`` of them or more."""

    def rule(value: str) -> str | None:
        if not value.strip():
            return "must not be blank"
        if _VISIBLE.fullmatch(value) is None:
            return "must have visible ASCII characters only, and no space"
        if not least <= len(value) <= _SECRET_MAX:
            return f"must have at least {least} characters, and at most {_SECRET_MAX}"
        if prefixes and not any(
            value.startswith(prefix) and len(value) > len(prefix) for prefix in prefixes
        ):
            return f"must begin with {' or '.join(prefixes)}, and go on"
        return None

    return rule


def listening_host(value: str) -> str | None:
    """Check an address to listen on."""
    return None if is_host(value) else "must be an IP address or the name of a host"


def site(value: str) -> str | None:
    """Check the address of a site: where it is, and nothing more."""
    wrong = "must be a whole address as https://tickets.example.org, without path or query"
    parts = _split(value)
    if parts is None or parts.scheme not in {"http", "https"}:
        return wrong
    if parts.path or "@" in parts.netloc or "?" in value or "#" in value:
        return wrong
    return None if is_host(parts.hostname or "") else wrong


def endpoint_url(value: str) -> str | None:
    """Check the address of an HTTP interface."""
    parts = _split(value)
    if parts is None or parts.scheme not in {"http", "https"} or not is_host(parts.hostname or ""):
        return "must be a whole address with http:// or https://"
    if parts.query or parts.fragment or "@" in parts.netloc:
        return "must have no user, query or fragment"
    return None


def server_url(*schemes: str) -> Rule:
    """Return the rule of the address of a server with one of these schemes."""

    def rule(value: str) -> str | None:
        wrong = f"must be an address with {' or '.join(f'{scheme}://' for scheme in schemes)}"
        parts = _split(value)
        if parts is None or parts.scheme not in schemes:
            return wrong
        if not is_host(parts.hostname or "") and not _SERVICE.fullmatch(parts.hostname or ""):
            return f"{wrong} and a host"
        return None

    return rule


def is_host(text: str) -> bool:
    """Tell whether this is an IP address or the name of a host."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        last = text.rstrip(".").rpartition(".")[2]
        return _HOST.fullmatch(text) is not None and not last.isdigit()
    return True


def _split(url: str) -> SplitResult | None:
    """Return the parts of an address; None: it is none."""
    if _VISIBLE.fullmatch(url) is None or "\\" in url:
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if port == 0 or parts.netloc.endswith(":"):
        return None
    return parts
