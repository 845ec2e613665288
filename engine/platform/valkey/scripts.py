"""Loads lua/*.lua: one command a file, ``-- @include "name"`` lines expanded once each."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from engine.core.resources import folder

DIRECTORY = folder("lua")
_CONSTANT = re.compile(r"^local ([A-Z][A-Z0-9_]*) = \d+(?: *--.*)?\n", re.MULTILINE)
_WORD = re.compile(r"\b[A-Z][A-Z0-9_]*\b")
_INCLUDE = re.compile(r'^-- @include "([a-z_]+)"$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Script:
    """A command: its whole text, and the SHA-1 by which the server knows it."""

    name: str
    text: str
    sha: str


def _expand(text: str, seen: set[str]) -> str:
    def include(match: re.Match[str]) -> str:
        name = match[1]
        if name in seen:
            return ""
        seen.add(name)
        return _expand((DIRECTORY / "includes" / f"{name}.lua").read_text(), seen)

    return _INCLUDE.sub(include, text)


def _without_unused(text: str) -> str:
    """Leave out constants that nothing refers to: a function of Lua may have 200 locals."""
    words = Counter(_WORD.findall(text))
    return _CONSTANT.sub(lambda found: "" if words[found[1]] == 1 else found[0], text)


def _load(path: Path) -> Script:
    text = _without_unused(_expand(path.read_text(), set()))
    return Script(path.stem, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


# Read once, when the process starts: nothing reads files while it serves.
SCRIPTS = {path.stem: _load(path) for path in sorted(DIRECTORY.glob("*.lua"))}
