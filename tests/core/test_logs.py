"""JSON logs."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import orjson
import pytest

from engine.platform.telemetry.logs import REQUEST_ID, JsonFormatter, configure_logs


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    output = io.StringIO()
    configure_logs(stream=output)
    yield output
    root.handlers[:], root.level = before, level


def test_a_line_is_one_json_object_with_the_request_id(stream: io.StringIO) -> None:
    token = REQUEST_ID.set("request-1")
    logging.getLogger("a.room").warning("said %s\nand more", "this", extra={"order": "o1"})
    REQUEST_ID.reset(token)
    (line,) = stream.getvalue().splitlines()
    found = orjson.loads(line)
    assert found.pop("time").endswith("Z")
    assert found == {
        "level": "warning",
        "logger": "a.room",
        "message": "said this\nand more",
        "request_id": "request-1",
        "order": "o1",
    }


def test_a_trace_stays_on_its_line(stream: io.StringIO) -> None:
    try:
        int("broken")
    except ValueError:
        logging.getLogger("a.room").exception("failed")
    (line,) = stream.getvalue().splitlines()
    found = orjson.loads(line)
    assert "ValueError: invalid literal" in found["exception"]
    assert "request_id" not in found


def test_anything_can_be_logged() -> None:
    record = logging.makeLogRecord({"msg": "x", "thing": object(), "big": {1: b"bytes"}})
    assert orjson.loads(JsonFormatter().format(record))["message"] == "x"
