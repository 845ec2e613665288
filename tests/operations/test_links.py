"""Every link of the documents that points into the project arrives."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import pytest

PROJECT = Path(__file__).parents[2]
_LINK = re.compile(r"!?\[(?:[^\]\\]|\\.)*\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
_FENCE = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`[^`\n]*`")


def documents(root: Path) -> list[Path]:
    """Return the documents of a project: not those of its environment or its caches."""
    return sorted(
        file
        for file in root.rglob("*.md")
        if not any(
            part.startswith(".") or part == "node_modules"
            for part in file.relative_to(root).parts[:-1]
        )
    )


@cache
def anchors(document: Path) -> frozenset[str]:
    """Return the anchors of a document's headings, by GitHub's rule."""
    seen: dict[str, int] = {}
    found = set()
    for heading in _HEADING.findall(_FENCE.sub("", document.read_text())):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        count = seen.get(slug, 0)
        seen[slug] = count + 1
        found.add(f"{slug}-{count}" if count else slug)
    return frozenset(found)


def dead_links(document: Path) -> list[str]:
    """Return the links of a document that lead nowhere. Links to other sites are not followed."""
    text = _SPAN.sub("", _FENCE.sub("", document.read_text()))
    dead = []
    for link in _LINK.findall(text):
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = document.parent / path if path else document
        wrong_anchor = anchor and target.suffix == ".md" and target.is_file()
        if not target.exists() or (wrong_anchor and anchor not in anchors(target)):
            dead.append(link)
    return dead


@pytest.mark.parametrize("document", documents(PROJECT), ids=lambda path: path.name)
def test_no_link_is_dead(document: Path) -> None:
    assert dead_links(document) == []


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    document = tmp_path / "a.md"
    document.write_text(
        "# Two words, `code`\n[ok](#two-words-code) [ok](a.md#two-words-code) [ok](https://x.test)\n"
        "[dead](b.md) [dead](a.md#nothing) ![dead](c.png)\n```\n[not a link](d.md)\n```\n"
    )
    assert dead_links(document) == ["b.md", "a.md#nothing", "c.png"]
