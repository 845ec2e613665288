"""Mistakes in a document, collected so that all are told at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import msgspec

from engine.core.errors import InvalidRequestError

PROBLEMS_MAX = 200  # beyond this the rest is only counted


class Problem(msgspec.Struct, frozen=True):
    """``path``: where, e.g. ``ticket_types[2].tiers[0].price``; empty: the whole document."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class Problems:
    """Collects mistakes; :meth:`check` raises when there are any."""

    def __init__(self) -> None:
        self.found: list[Problem] = []
        self.unlisted = 0

    def add(self, path: str, message: str) -> None:
        """Note one mistake."""
        if len(self.found) < PROBLEMS_MAX:
            self.found.append(Problem(_printable(path), _printable(message)))
        else:
            self.unlisted += 1

    def take(self, prefix: str, problems: Iterable[Problem]) -> None:
        """Note the mistakes of a part, each path after ``prefix``."""
        for problem in problems:
            self.add(f"{prefix} {problem.path}".rstrip(), problem.message)

    def check(self, what: str) -> None:
        """Raise :class:`InvalidDocumentError` when something was noted. ``what``: the file."""
        if self.found:
            raise InvalidDocumentError(what, self)


class InvalidDocumentError(InvalidRequestError):
    """A document has mistakes; nothing was loaded. ``problems`` lists them with their paths."""

    code, title = "invalid_document", "The document has mistakes"

    def __init__(self, what: str, problems: Problems) -> None:
        count = len(problems.found) + problems.unlisted
        lines = [f"{what} has {count} mistake{'s' * (count != 1)}; nothing was loaded."]
        lines += [f"  {problem}" for problem in problems.found]
        if problems.unlisted:
            lines.append(f"  ... and {problems.unlisted} more")
        super().__init__(
            "\n".join(lines),
            problems=[{"path": item.path, "message": item.message} for item in problems.found],
        )
        self.problems = tuple(problems.found)


def unstorable(text: str) -> str | None:
    """Return what is in a text that no database and no answer can hold; None: nothing."""
    if "\0" in text:
        return "a NUL character"
    if any("\ud800" <= character <= "\udfff" for character in text):
        return "half a character (a lone surrogate)"
    return None


def _printable(text: str) -> str:
    """Return a text as one line that any terminal can show."""
    if text.isprintable():
        return text
    return "".join(
        character
        if character.isprintable()
        else character.encode("unicode_escape", "backslashreplace").decode("ascii")
        for character in text
    )


def nearest(name: object, known: Iterable[str]) -> str:
    """Return `` (did you mean "x"?)`` for the known name that looks most like ``name``, or ""."""
    close = difflib.get_close_matches(str(name)[:100], list(known), n=1, cutoff=0.6)
    return f' (did you mean "{close[0]}"?)' if close else ""


def shown(value: object) -> str:
    """Return ``value`` as a short text for a message."""
    try:
        text = repr(value) if not isinstance(value, dict | list) else type(value).__name__
    except ValueError:  # a number of thousands of digits
        text = "a very large number"
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004 - fits a line
