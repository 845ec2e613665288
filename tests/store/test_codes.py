"""One table of result codes: in Lua, in Python and in the documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.core import errors
from engine.platform.valkey.codes import Code, LineCode

LUA = Path("lua/includes/codes.lua").read_text()
README = Path("lua/README.md")


def test_lua_and_python_have_the_same_codes() -> None:
    found = {
        name: int(value) for name, value in re.findall(r"^local (\w+) = (\d+)", LUA, re.MULTILINE)
    }
    assert found == {code.name: code.value for code in Code} | {
        f"LINE_{code.name}": code.value for code in LineCode
    }


def test_the_documentation_has_the_same_codes() -> None:
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", README.read_text(), re.MULTILINE)
    assert {name: int(value) for value, name in rows} == {
        code.name: code.value for code in Code
    } | {f"LINE_{code.name}": code.value for code in LineCode}


def test_error_codes_are_unique() -> None:
    pending = [errors.OnsaleError]
    found: list[str] = []
    while pending:
        kind = pending.pop()
        found.append(kind.code)
        pending += kind.__subclasses__()
    assert len(found) == len(set(found))


@pytest.mark.parametrize("path", sorted(Path("lua").glob("*.lua")), ids=lambda path: path.stem)
def test_every_command_has_its_header(path: Path) -> None:
    text = path.read_text()
    for part in ("-- KEYS[1]", "-- ARGV[1]", "-- Answers", "-- Records"):
        assert part in text
