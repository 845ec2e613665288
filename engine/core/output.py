"""What a command prints, when nobody reads it to its end: ``onsale audit | head``."""

from __future__ import annotations

import io
import sys
from typing import Any, Final, TextIO

ENDED: Final = 141  # what a shell says of a program that SIGPIPE ended: 128 + 13


class _Pipe(io.FileIO):
    """A file whose reader may go away. ``ends``: then the command ends too, quietly.

    What is printed later goes nowhere. An ``OSError`` would not do: a reader
    that has gone is no failure of a server that the command talks to.
    """

    def __init__(self, descriptor: int, *, ends: bool) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self._ends = ends
        self._gone = False

    def write(self, data: Any, /) -> int:
        """Write. Raises ``SystemExit`` once, when the reader has gone."""
        try:
            if not self._gone:
                return super().write(data)
        except BrokenPipeError:
            self._gone = True
            if self._ends:
                raise SystemExit(ENDED) from None
        return memoryview(data).nbytes


def end_with_the_reader() -> None:
    """Let this process end quietly when nobody reads its standard output any more.

    Standard error is for logs: when nobody reads those, the process goes on.
    """
    output, errors = sys.__stdout__, sys.__stderr__
    if output is not None and sys.stdout is output:
        sys.stdout = _stream(output, ends=True)
    if errors is not None and sys.stderr is errors:
        sys.stderr = _stream(errors, ends=False)


def _stream(stream: TextIO, *, ends: bool) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        io.BufferedWriter(_Pipe(stream.fileno(), ends=ends)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.isatty() or not ends,
    )
