"""The pinned files say what the .in files ask for, with hashes, and name no registry."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[2]
PIN = re.compile(r"^([a-z0-9._-]+)(?:\[[a-z,]+\])?==([^ ;\\]+)", re.MULTILINE)
DIRECT = re.compile(r"^([a-z0-9._-]+)==(?:(?!^[a-z]).)*?-r requirements", re.MULTILINE | re.DOTALL)
FILES = ("requirements", "requirements-server")


def _wanted(file: Path) -> list[Requirement]:
    wanted: list[Requirement] = []
    for raw in file.read_text().splitlines():
        line = raw.partition("#")[0].strip()
        if line.startswith("-r "):
            wanted += _wanted(file.parent / line[3:])
        elif line:
            wanted.append(Requirement(line))
    return wanted


def _pins(name: str) -> dict[str, str]:
    text = (PROJECT / f"{name}.txt").read_text()
    return {canonicalize_name(package): version for package, version in PIN.findall(text)}


@pytest.mark.parametrize("name", FILES)
def test_every_requirement_is_pinned_as_asked(name: str) -> None:
    pins = _pins(name)
    for requirement in _wanted(PROJECT / f"{name}.in"):
        version = pins.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement} is not in {name}.txt: make lock"
        assert requirement.specifier.contains(version), f"{requirement} is {version}: make lock"


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_pinned_for_a_requirement_that_is_gone(name: str) -> None:
    direct = set(DIRECT.findall((PROJECT / f"{name}.txt").read_text()))
    wanted = {canonicalize_name(item.name) for item in _wanted(PROJECT / f"{name}.in")}
    assert direct == wanted, "make lock"


@pytest.mark.parametrize("name", FILES)
def test_every_pin_has_hashes(name: str) -> None:
    blocks = re.split(r"^(?=[a-z0-9])", (PROJECT / f"{name}.txt").read_text(), flags=re.MULTILINE)
    for block in blocks[1:]:
        assert "--hash=sha256:" in block, block.splitlines()[0]


@pytest.mark.parametrize("name", FILES)
def test_no_registry_is_named(name: str) -> None:
    for suffix in ("in", "txt"):
        text = (PROJECT / f"{name}.{suffix}").read_text()
        assert "://" not in text
        assert "index-url" not in text
        assert "find-links" not in text


def test_the_server_runs_on_the_versions_that_are_tested() -> None:
    tested = _pins("requirements")
    for package, version in _pins("requirements-server").items():
        assert tested[package] == version
