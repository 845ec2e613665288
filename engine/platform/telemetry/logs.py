"""JSON logs: one object a line on stderr, each with the id of the request it belongs to."""

from __future__ import annotations

import logging
import sys
import time
from contextvars import ContextVar
from typing import Any, TextIO

import orjson

from engine.core.times import rfc3339

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class SeldomLog:
    """A logger of what strangers can cause at will: one line in ``every_s`` seconds a message.

    The line says how many there were that it stands for (``times``).
    """

    def __init__(self, logger: logging.Logger, every_s: float = 10.0) -> None:
        self._logger = logger
        self._every_s = every_s
        self._next: dict[str, float] = {}
        self._times: dict[str, int] = {}

    def info(self, message: str, **extra: Any) -> None:
        """Log a message, one of few that the program has, unless it was just logged."""
        now = time.monotonic()
        times = self._times.get(message, 0) + 1
        if now < self._next.get(message, 0.0):
            self._times[message] = times
            return
        self._times[message] = 0
        self._next[message] = now + self._every_s
        self._logger.info(message, extra={**extra, "times": times})


class JsonFormatter(logging.Formatter):
    """Renders a record, with whatever ``extra`` it was given, as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without the newline."""
        line: dict[str, Any] = {
            "time": rfc3339(int(record.created * 1000)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id := REQUEST_ID.get():
            line["request_id"] = request_id
        extra = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        line.update(extra)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def configure_logs(level: int = logging.INFO, stream: TextIO | None = None) -> None:
    """Send all logs of this process, as JSON lines, to ``stream`` (stderr unless given)."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.getLogger("stripe").setLevel(logging.WARNING)  # it tells of every call, twice
