"""The Makefile lists itself, and knows every command that the README tells."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

PROJECT = Path(__file__).parents[2]
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", (PROJECT / "Makefile").read_text(), re.MULTILINE))


def test_help_lists_every_target() -> None:
    result = subprocess.run(
        ["make", "help"], capture_output=True, text=True, check=True, cwd=PROJECT
    )
    listed = {line.split()[0] for line in result.stdout.splitlines()[1:]}
    assert listed == TARGETS
    assert {"up", "demo", "test", "check", "bench", "lock", "format", "clean"} <= listed


def test_every_make_command_in_the_documents_exists() -> None:
    for document in [*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md")]:
        code = re.findall(r"```.*?```|`[^`\n]+`", document.read_text(), re.DOTALL)
        for target in re.findall(r"\bmake ([a-z-]+)", "\n".join(code)):
            assert target in TARGETS, f"{document.name} tells `make {target}`"


def test_the_server_of_checks_runs_what_the_makefile_does() -> None:
    script = (PROJECT / ".ci" / "run").read_text()
    assert "make check test" in script
    assert "CI=true" in script
