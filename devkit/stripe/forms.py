"""Form bodies and query strings: ``a[b]=c`` and ``a[]=c`` become maps and lists.

Everything is bounded: fields, depth and length of names here, the body's size
by the server. :class:`Params` reads typed values and names what is left over,
as Stripe does.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import parse_qsl

from email_validator import EmailNotValidError, validate_email

from devkit.stripe.errors import ApiError, invalid

BODY_BYTES_MAX = 131_072
_FIELDS_MAX = 200
_DEPTH_MAX = 5
_NAME_LENGTH_MAX = 256
_TEXT_LENGTH_MAX = 5_000
_EMAIL_LENGTH_MAX = 800
_METADATA_MAX = 50
_METADATA_NAME_MAX = 40
_METADATA_VALUE_MAX = 500

Pairs = list[tuple[str, str]]
Table = dict[str, "str | Table"]


def pairs(encoded: str) -> Pairs:
    """Split a form body or query string. Raises :class:`ApiError` (400)."""
    if not encoded:
        return []
    try:
        return parse_qsl(
            encoded, keep_blank_values=True, errors="strict", max_num_fields=_FIELDS_MAX
        )
    except ValueError as error:
        raise invalid(f"The form cannot be read: {error}") from error


def decode(fields: Pairs) -> Table:
    """Nest ``a[b]=c``; a list ``a[]=x`` or ``a[0]=x`` is a map with numbers as its keys."""
    table: Table = {}
    for name, value in fields:
        if "[" not in name:
            table[name] = value
            continue
        _insert(table, _path(name), name, value)
    return table


def _path(name: str) -> list[str]:
    head, _, rest = name.partition("[")
    if len(name) > _NAME_LENGTH_MAX or not head or not rest.endswith("]"):
        raise invalid(f"Invalid parameter name: {name[:80]}")
    steps = [head, *rest[:-1].split("][")]
    if len(steps) > _DEPTH_MAX or any("[" in step or "]" in step for step in steps):
        raise invalid(f"Invalid parameter name: {name[:80]}")
    return steps


def _insert(table: Table, steps: list[str], name: str, value: str) -> None:
    for step in steps[:-1]:
        inner = table.setdefault(step or str(len(table)), {})
        if isinstance(inner, str):
            raise invalid(f"{name[:80]} is given as text and as a map", param=steps[0])
        table = inner
    table[steps[-1] or str(len(table))] = value


class Params:
    """Typed reading of decoded parameters; each is read once, the rest is refused."""

    def __init__(self, table: Table, within: str = "") -> None:
        self._table = table
        self._within = within

    def __contains__(self, name: str) -> bool:
        return name in self._table

    def nested(self, name: str) -> bool:
        """Tell whether ``name[...]`` is given."""
        return isinstance(self._table.get(name), dict)

    def _name(self, name: str) -> str:
        return f"{self._within}[{name}]" if self._within else name

    def text(self, name: str, length: int = _TEXT_LENGTH_MAX) -> str | None:
        """Return the text, None when absent or empty (an empty value unsets)."""
        value = self._table.pop(name, None)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise invalid(f"Invalid string: {self._name(name)}", param=self._name(name))
        if len(value) > length:
            raise invalid(
                f"Invalid string: must be at most {length} characters", param=self._name(name)
            )
        return value

    def required(self, name: str) -> str:
        """Return the text. Raises :class:`ApiError` when it is missing."""
        value = self.text(name)
        if value is None:
            raise self.lacking(name)
        return value

    def lacking(self, name: str) -> ApiError:
        """Return the error for a parameter that is needed."""
        return invalid(
            f"Missing required param: {self._name(name)}.",
            param=self._name(name),
            code="parameter_missing",
        )

    def integer(self, name: str) -> int | None:
        """Return the integer, None when absent."""
        value = self.text(name, 20)
        if value is None:
            return None
        if not value.lstrip("-").isdecimal() or not value.isascii():
            raise invalid(
                f"Invalid integer: {value}",
                param=self._name(name),
                code="parameter_invalid_integer",
            )
        return int(value)

    def boolean(self, name: str, *, default: bool = False) -> bool:
        """Return true or false."""
        return self.choice(name, ("true", "false"), "true" if default else "false") == "true"

    def choice(self, name: str, options: Iterable[str], default: str | None = None) -> str | None:
        """Return one of ``options``."""
        value = self.text(name)
        if value is None:
            return default
        if value not in options:
            raise invalid(
                f"Invalid {self._name(name)}: must be one of {', '.join(options)}",
                param=self._name(name),
            )
        return value

    def table(self, name: str) -> Params | None:
        """Return the nested parameters, None when absent."""
        value = self._table.pop(name, None)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise invalid(f"Invalid hash: {self._name(name)}", param=self._name(name))
        return Params(value, self._name(name))

    def words(self, name: str) -> list[str]:
        """Return a list of texts, empty when absent."""
        value = self._table.pop(name, None)
        if value is None:
            return []
        if not isinstance(value, dict):
            raise invalid(f"Invalid array: {self._name(name)}", param=self._name(name))
        return [word for word in value.values() if isinstance(word, str)]

    def email(self, name: str) -> str | None:
        """Return an e-mail address, None when absent; ASCII only, as Stripe takes it."""
        value = self.text(name, _EMAIL_LENGTH_MAX)
        if value is None:
            return None
        try:
            validate_email(
                value,
                allow_smtputf8=False,
                check_deliverability=False,
                globally_deliverable=False,
            )
            good = value.isascii() and "." in value.rpartition("@")[2]
        except EmailNotValidError:
            good = False
        if not good:
            raise invalid(
                f"Invalid email address: {value[:80]}",
                param=self._name(name),
                code="email_invalid",
            )
        return value

    def metadata(self, before: dict[str, str]) -> dict[str, str]:
        """Return ``before`` with the given metadata merged; an empty value removes a name."""
        given = self._table.pop("metadata", None)
        if given is None:
            return before
        if not isinstance(given, dict):
            return {}  # Stripe: an empty text unsets all metadata
        merged = dict(before)
        for name, value in given.items():
            if not isinstance(value, str) or len(name) > _METADATA_NAME_MAX:
                raise invalid("Metadata names have at most 40 characters", param="metadata")
            if len(value) > _METADATA_VALUE_MAX:
                raise invalid("Metadata values have at most 500 characters", param="metadata")
            if value:
                merged[name] = value
            else:
                merged.pop(name, None)
        if len(merged) > _METADATA_MAX:
            raise invalid("There can be at most 50 metadata entries", param="metadata")
        return merged

    def finish(self) -> None:
        """Raise :class:`ApiError` when parameters are left that nobody asked for."""
        if self._table:
            name = self._name(next(iter(self._table)))
            raise invalid(
                f"Received unknown parameter: {name}", param=name, code="parameter_unknown"
            )
