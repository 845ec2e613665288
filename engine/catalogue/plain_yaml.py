"""YAML with nothing hidden in it: what is loaded is what a person reads.

Plain scalars are those of YAML 1.2: no times, no ``yes``, no sexagesimals.
There are no tags, no aliases, no member twice. A whole number that readers of
YAML understand in different ways is an :class:`UnclearNumber`.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any, Final, NamedTuple

import yaml

_DIGITS_MAX: Final = 18  # what fits a column and every other reader
_DIGITS_READ: Final = 4_000  # more are not read at all: int() raises ValueError


class UnclearNumber(NamedTuple):
    """The text of a number that is not to be guessed at. ``advice``: what to do about it."""

    text: str
    advice: str

    def __repr__(self) -> str:
        return _short(self.text)


def parse(data: bytes) -> Any:
    """Return the one document as maps, lists and scalars.

    Raises ``yaml.YAMLError``, ``RecursionError`` and ``ValueError`` (text that is
    in no known encoding).
    """
    return yaml.load(data, _Loader)  # noqa: S506 - derived from SafeLoader


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - as declared by the base class

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, "the name of a member must be text", key.start_mark
                )
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value!r} is given twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        mark: Any = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "aliases are not allowed", mark)
        if getattr(event, "tag", None) is not None:
            raise yaml.composer.ComposerError(None, None, "tags are not allowed", mark)
        return super().compose_node(parent, index)


def _whole(loader: _Loader, node: yaml.ScalarNode) -> int | UnclearNumber:
    text = loader.construct_scalar(node)
    digits = text.lstrip("+-")
    if len(digits) > 1 and digits.startswith("0"):
        return UnclearNumber(
            text,
            f"begins with a zero ({_short(text)}), which some read as octal:"
            " write the number without it, or quote what is no number",
        )
    if _DIGITS_MAX < len(digits) < _DIGITS_READ:
        return UnclearNumber(text, f"is too large a number ({_short(text)})")
    return int(text)


def _decimal(loader: _Loader, node: yaml.ScalarNode) -> float | UnclearNumber:
    text = loader.construct_scalar(node)
    whole = re.split("[.eE]", text.lstrip("+-"))[0]
    if len(whole) > 1 and whole.startswith("0"):
        return UnclearNumber(
            text, f"begins with a zero ({_short(text)}): write the number without it"
        )
    return float(text)


def _text(loader: _Loader, node: yaml.ScalarNode) -> str:
    """Return text; characters that were escaped in two halves, as JSON does, become whole."""
    text = loader.construct_scalar(node)
    if any("\ud800" <= character <= "\udfff" for character in text):
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    return text


def _short(text: str) -> str:
    return text if len(text) <= 24 else f"{text[:21]}..."  # noqa: PLR2004 - fits a line


for _tag, _pattern, _first in (
    ("null", r"~|null|", ["~", "n", ""]),
    ("bool", r"true|false", list("tf")),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("float", r"[-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?", list("-+.0123456789")),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), _first
    )
for _name, _constructor in (("int", _whole), ("float", _decimal), ("str", _text)):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_name}", _constructor)
