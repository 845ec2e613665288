"""YAML into structs, with every mistake collected instead of the first one raised.

A struct with a broken member is made all the same, with :data:`BROKEN` in its
place, so that the checks across members can go on with what is sound.
"""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar, cast

import yaml
from msgspec import inspect

from engine.catalogue.plain_yaml import UnclearNumber, parse
from engine.catalogue.problems import Problems, nearest, shown, unstorable

BYTES_MAX = 2 * 1024 * 1024
T = TypeVar("T")


class _Broken:
    """The value of a member that could not be read."""

    def __repr__(self) -> str:
        return "BROKEN"


BROKEN: Final = cast("Any", _Broken())


def sound(*values: object) -> bool:
    """Tell whether none of the values is :data:`BROKEN`."""
    return all(value is not BROKEN for value in values)


def read_yaml(kind: type[T], data: bytes, problems: Problems) -> T:
    """Return the document as a ``kind``, noting every mistake with its path."""
    return read_value(kind, _parsed(data, problems), problems)


def read_value(kind: type[T], value: Any, problems: Problems) -> T:
    """Return plain ``value`` (maps, lists, scalars) as a ``kind``, noting every mistake."""
    return cast("T", _value(inspect.type_info(kind), value, "", problems))


def _parsed(data: bytes, problems: Problems) -> Any:
    if len(data) > BYTES_MAX:
        problems.add("", f"is larger than {BYTES_MAX // 1024**2} MiB")
        return BROKEN
    try:
        return parse(data)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        problems.add("", f"is not YAML: {' '.join(str(error).split())}")
        return BROKEN


def _value(kind: inspect.Type, value: Any, path: str, problems: Problems) -> Any:
    said = ""
    if isinstance(kind, inspect.UnionType):  # only ever "or None"
        if value is None:
            return None
        (kind,) = (item for item in kind.types if not isinstance(item, inspect.NoneType))
    if isinstance(kind, inspect.Metadata):
        said = (kind.extra_json_schema or {}).get("description", "")
        kind = kind.type
    if isinstance(kind, inspect.StructType):
        return _struct(kind, value, path, problems)
    if isinstance(kind, inspect.ListType):
        return _list(kind, value, path, problems)
    message = _mistake(kind, value, said)
    if not message:
        return value
    problems.add(path, message)
    return BROKEN


def _struct(kind: inspect.StructType, value: Any, path: str, problems: Problems) -> Any:
    if value is BROKEN:
        return BROKEN
    if not isinstance(value, dict):
        problems.add(path, f"must have members ({', '.join(_names(kind)[:3])} ...)")
        return BROKEN
    names = _names(kind)
    for name in value:
        if name not in names:
            at = f"{path}.{name}" if path else str(name)
            problems.add(at, f"is not known here{nearest(name, names)}")
    members: dict[str, Any] = {}
    for field in kind.fields:
        at = f"{path}.{field.encode_name}" if path else field.encode_name
        if field.encode_name in value:
            members[field.name] = _value(field.type, value[field.encode_name], at, problems)
        elif field.required:
            problems.add(at, "is missing")
            members[field.name] = [] if isinstance(field.type, inspect.ListType) else BROKEN
    return kind.cls(**members)


def _names(kind: inspect.StructType) -> list[str]:
    return [field.encode_name for field in kind.fields]


def _list(kind: inspect.ListType, value: Any, path: str, problems: Problems) -> list[Any]:
    if not isinstance(value, list):
        problems.add(path, f"must be a list, not {shown(value)}")
        return []
    if kind.min_length is not None and len(value) < kind.min_length:
        problems.add(path, f"must have at least {kind.min_length}")
    if kind.max_length is not None and len(value) > kind.max_length:
        problems.add(path, f"has {len(value):,} items, more than {kind.max_length:,}")
        return []
    return [
        _value(kind.item_type, item, f"{path}[{index}]", problems)
        for index, item in enumerate(value)
    ]


def _mistake(kind: inspect.Type, value: Any, said: str) -> str:
    """Return what is wrong with a scalar, or ""."""
    if isinstance(kind, inspect.StrType):
        return _text_mistake(kind, value, said)
    if isinstance(kind, inspect.LiteralType):
        names = [str(item) for item in kind.values]
        if value in names:
            return ""
        return f"must be one of {', '.join(names)}, not {shown(value)}{nearest(value, names)}"
    if isinstance(kind, inspect.BoolType):
        return "" if isinstance(value, bool) else f"must be true or false, not {shown(value)}"
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        return _number_mistake(kind, value)
    raise TypeError(f"a document has no members of type {kind!r}")


def _number_mistake(kind: inspect.IntType | inspect.FloatType, value: Any) -> str:
    whole = isinstance(kind, inspect.IntType)
    if isinstance(value, UnclearNumber):
        return value.advice
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        return f"must be a {'whole ' * whole}number, not {shown(value)}"
    return _range_mistake(kind, value)


def _text_mistake(kind: inspect.StrType, value: Any, said: str) -> str:
    if not isinstance(value, str):
        quotes = "" if isinstance(value, dict | list) or "in quotes" in said else ": quote it"
        return f"must be {said or 'text'}, not {shown(value)}{quotes}"
    if (character := unstorable(value)) is not None:
        return f"holds {character}, which cannot be stored"
    if kind.min_length is not None and len(value) < kind.min_length:
        return "must not be empty"
    if kind.max_length is not None and len(value) > kind.max_length:
        return f"has {len(value):,} characters, more than {kind.max_length:,}"
    if kind.pattern is not None and not re.fullmatch(kind.pattern, value):
        return f"must be {said}, not {shown(value)}"
    return ""


def _range_mistake(kind: inspect.IntType | inspect.FloatType, value: float) -> str:
    low, high = kind.ge, kind.le
    inside = (low is None or value >= low) and (high is None or value <= high)
    if not inside:  # as no comparison is true of what is not a number
        return f"must be from {low:,} to {high:,}, not {shown(value)}"
    return ""
