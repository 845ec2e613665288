"""Folders of files that the engine reads and that are no Python: ``lua``, ``migrations``."""

from __future__ import annotations

from pathlib import Path

_ENGINE = Path(__file__).resolve().parents[1]


def folder(name: str) -> Path:
    """Return a folder's path: within the installed package, or beside it in a checkout."""
    installed = _ENGINE / name
    return installed if installed.is_dir() else _ENGINE.parent / name
