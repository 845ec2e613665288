"""The journal: one JSON line for each request that changed something, appended.

A line is written before the request is answered, in one write to the kernel:
it survives a killed process, not a power cut (it is a development tool). At
start the lines are replayed, a torn last one is dropped, and the file is
rewritten with only what is still remembered.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from devkit.stripe.objects import Item, SavedAnswer

_ITEMS_A_LINE = 100
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC  # for its owner alone: people are in it


class JournalError(Exception):
    """The file is damaged elsewhere than at its end."""


class Entry(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What one request changed. ``delivered``: events that the webhook endpoint has accepted."""

    changed: list[Item] = []
    answers: list[SavedAnswer] = []
    delivered: list[str] = []


class Journal:
    """``path`` None: memory only, nothing is written."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: int | None = None
        self._encoder = msgspec.json.Encoder()

    def replay(self) -> Iterator[Entry]:
        """Yield what was written. Raises :class:`JournalError`."""
        if self._path is None or not self._path.exists():
            return
        decoder = msgspec.json.Decoder(Entry)
        with self._path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    yield decoder.decode(line)
                except msgspec.MsgspecError as error:
                    if not line.endswith(b"\n"):
                        return  # torn by a kill: its request was never answered
                    raise JournalError(
                        f"{self._path}, line {number}: {error}. Move the file away to start anew."
                    ) from error

    def open(self, items: Iterable[Item], answers: Iterable[SavedAnswer]) -> None:
        """Rewrite the file with what is remembered, and append from now on."""
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_name(self._path.name + ".new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, _NEW, 0o600), "wb") as file:
            for some in _chunks(items):
                file.write(self._encoder.encode(Entry(changed=some)) + b"\n")
            for answer in answers:
                file.write(self._encoder.encode(Entry(answers=[answer])) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def write(self, entry: Entry) -> None:
        """Append one line."""
        if self._file is not None:
            os.write(self._file, self._encoder.encode(entry) + b"\n")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    some: list[Item] = []
    for item in items:
        some.append(item)
        if len(some) == _ITEMS_A_LINE:
            yield some
            some = []
    if some:
        yield some
