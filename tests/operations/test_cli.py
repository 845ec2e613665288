"""The command line: help, sentences instead of tracebacks, addresses of a running system."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from engine.app import cli
from engine.core.errors import ConflictError
from engine.core.settings import SettingsError

PROJECT = Path(__file__).parents[2]


def run_onsale(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("ONSALE_")}
    return subprocess.run(
        [sys.executable, "-m", "engine.app.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        timeout=60,
        env={**clean, "PYTHONPATH": str(PROJECT), **variables},
    )


def test_help_lists_every_command_with_one_line() -> None:
    lines = CliRunner().invoke(cli.main, ["--help"]).output.splitlines()
    for name, entry in cli.COMMANDS.items():
        assert any(line.split() == [name, *entry.help.split()] for line in lines), name


def test_help_imports_no_room() -> None:
    script = (
        "import sys; from click.testing import CliRunner; from engine.app import cli;"
        "assert CliRunner().invoke(cli.main, ['--help']).exit_code == 0;"
        "print([name for name in sys.modules if name.startswith('engine.')])"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=PROJECT
    )
    imported = result.stdout.strip().strip("[]").replace("'", "").split(", ")
    allowed = {"engine.core", "engine.app"}
    assert [name for name in imported if name.startswith("engine.app.")] == ["engine.app.cli"]
    assert not [name for name in imported if ".".join(name.split(".")[:2]) not in allowed]


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_exists_and_has_help(name: str) -> None:
    result = CliRunner().invoke(cli.main, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert result.output.startswith("Usage:")


def test_a_command_that_does_not_exist_is_named() -> None:
    result = CliRunner().invoke(cli.main, ["sell-twice"])
    assert result.exit_code == 2
    assert "sell-twice" in result.output


@pytest.mark.parametrize(
    "error", [SettingsError("set ONSALE_X to a number"), ConflictError("the sale has ended")]
)
def test_an_expected_failure_is_one_sentence_and_exit_code_2(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    @click.command()
    def failing() -> None:
        raise error

    monkeypatch.setattr(cli.LazyGroup, "get_command", lambda *_: failing)
    result = CliRunner().invoke(cli.main, ["failing"])
    assert result.exit_code == 2
    assert result.output == f"Error: {error}\n"


def test_a_bad_setting_is_told_without_a_traceback(tmp_path: Path) -> None:
    result = run_onsale("migrate", cwd=tmp_path, ONSALE_API_PORT="eighty")
    assert result.returncode == 2
    assert result.stderr == "Error: ONSALE_API_PORT='eighty' is not a number: set a int\n"


def test_a_production_start_without_secrets_says_what_to_set(tmp_path: Path) -> None:
    result = run_onsale("migrate", cwd=tmp_path, ONSALE_ENVIRONMENT="production")
    assert result.returncode == 2
    assert "ONSALE_TOKEN_SECRET" in result.stderr
    assert "Traceback" not in result.stderr


def test_addresses_of_the_running_system_are_found(tmp_path: Path) -> None:
    _write_addresses(tmp_path)
    result = run_onsale("migrate", cwd=tmp_path)
    assert "ONSALE_API_PORT='from the file'" in result.stderr


def test_a_variable_that_is_set_wins_over_the_file(tmp_path: Path) -> None:
    _write_addresses(tmp_path)
    result = run_onsale("migrate", cwd=tmp_path, ONSALE_API_PORT="from the shell")
    assert "ONSALE_API_PORT='from the shell'" in result.stderr


def test_production_does_not_read_the_file(tmp_path: Path) -> None:
    _write_addresses(tmp_path)
    result = run_onsale("migrate", cwd=tmp_path, ONSALE_ENVIRONMENT="production")
    assert "ONSALE_API_PORT" not in result.stderr


def _write_addresses(directory: Path) -> None:
    (directory / ".onsale").mkdir()
    (directory / ".onsale" / "env").write_text("# comment\nONSALE_API_PORT=from the file\n")
