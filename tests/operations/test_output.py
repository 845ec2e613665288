"""Commands whose output nobody reads to its end: ``onsale ... | head``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.app import cli
from engine.core.output import ENDED

PROJECT = Path(__file__).parents[2]


def run_into_nothing(
    *arguments: str, first: int = 0, with_errors: bool = False, **variables: str
) -> tuple[int, str]:
    """Run a command and read so many bytes of its output; gives the exit code and stderr.

    ``with_errors``: stderr goes the same way, as with ``2>&1``.
    """
    clean = {key: value for key, value in os.environ.items() if not key.startswith("ONSALE_")}
    with subprocess.Popen(
        [sys.executable, "-m", "engine.app.cli", *arguments],
        cwd=PROJECT,
        env={**clean, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if with_errors else subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.read(first)
        process.stdout.close()
        errors = process.stderr.read().decode() if process.stderr else ""
        return process.wait(60), errors


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_of_any_command_ends_quietly_when_nobody_reads_it(name: str) -> None:
    assert run_into_nothing(name, "--help") == (ENDED, "")


@pytest.mark.parametrize("first", [0, 1, 5_000])
def test_a_long_output_ends_quietly_with_its_reader(first: int) -> None:
    assert run_into_nothing("openapi", first=first) == (ENDED, "")


def test_an_output_that_is_read_to_its_end_is_whole() -> None:
    command = [sys.executable, "-m", "engine.app.cli", "openapi"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, check=True, timeout=60)
    assert done.stdout.rstrip().endswith(b"}")
    assert done.stderr == b""


def test_an_error_that_nobody_reads_keeps_its_exit_code() -> None:
    arguments = ("publish", "0" * 32)
    away = "postgresql://nobody@127.0.0.1:1/none"
    code, errors = run_into_nothing(*arguments, DATABASE_URL=away)
    assert code == 2
    assert "PostgreSQL at 127.0.0.1:1 does not answer" in errors
    code, _ = run_into_nothing(*arguments, with_errors=True, DATABASE_URL=away)
    assert code == 2
