"""What wrk says is read, and what it does not say is an error with a way out."""

from __future__ import annotations

import pytest

from loadtest.bench import wrk

_OUTPUT = b"""Running 2s test @ http://127.0.0.1:1
  1 threads and 64 connections
Requests/sec:   9999.00

SUMMARY {"requests":30000,"duration_us":2000000,"refused":3,"broken":1,"p50_us":700,"p99_us":2100}
"""


def test_a_summary_is_read() -> None:
    found = wrk.parse(_OUTPUT)
    assert found.rate == 15_000
    assert (found.refused, found.broken, found.p50_us, found.p99_us) == (3, 1, 700, 2100)


@pytest.mark.parametrize(
    "output",
    [
        b"",
        b"unable to connect to 127.0.0.1:1 Connection refused",
        b"SUMMARY {}",
        b'SUMMARY {"requests":"many"}',
    ],
)
def test_output_without_a_summary_is_an_error(output: bytes) -> None:
    with pytest.raises(wrk.WrkError):
        wrk.parse(output)


def test_a_missing_wrk_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(wrk.WrkError, match="apt-get install wrk"):
        wrk.find()
