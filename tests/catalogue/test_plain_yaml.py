"""What an event file says is what is loaded, or it is refused with its path."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.catalogue.catalogue import Catalogue
from engine.catalogue.files import read_event
from engine.catalogue.problems import InvalidDocumentError
from tests.catalogue.documents import event, plan, written

_SLOT = "SLOT"


def _with(directory: Path, path: tuple[str | int, ...], text: str) -> Path:
    """Write the event with the member at ``path`` written exactly as ``text``."""
    document = copy.deepcopy(event())
    node: Any = document
    for part in path[:-1]:
        node = node.setdefault(part, {}) if isinstance(node, dict) else node[part]
    node[path[-1]] = _SLOT
    file = written(directory, document)
    file.write_text(file.read_text().replace(_SLOT, text), errors="surrogatepass")
    return file


def _mistakes(file: Path) -> dict[str, str]:
    with pytest.raises(InvalidDocumentError) as caught:
        read_event(file)
    str(caught.value).encode()
    return {problem.path: problem.message for problem in caught.value.problems}


WHOLE = [
    ("ticket_types", 3, "quantity"),
    ("ticket_types", 3, "min_per_order"),
    ("ticket_types", 0, "tiers", 0, "quantity"),
    ("quotas", 0, "capacity"),
    ("allocations", 1, "quantity"),
    ("policies", "max_per_order"),
    ("policies", "max_per_buyer"),
    ("waiting_room", "cap"),
    ("venue", "capacity"),
]
NOT_WHOLE = [
    *("0100", "-0100", "+07", "00", "0890", "1_000", "0x10", "0o10", "0b11", "1e3", "1E3", "100.0"),
    *("10:30", "190:20:30", ".inf", "-.inf", ".nan", "1e999", "9" * 19, "9" * 400, "0" * 5000),
    *(
        "yes",
        "true",
        "~",
        "2027-05-01",
        '"100"',
        "[1]",
        "{a: 1}",
        "1 000",
        "1,000",
        "\uff11\uff10",
        "''",
    ),
]


@pytest.mark.parametrize("path", WHOLE, ids=lambda path: ".".join(map(str, path)))
@pytest.mark.parametrize("text", NOT_WHOLE, ids=lambda text: text[:12])
def test_a_whole_number_is_what_was_written_or_refused_by_its_path(
    tmp_path: Path, path: tuple[str | int, ...], text: str
) -> None:
    if text == "~" and path[-1] not in {"capacity", "min_per_order", "max_per_order", "cap"}:
        return  # without one: that may be meant
    if text == "~" and path == ("venue", "capacity"):
        return
    named = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)[1:]
    assert named in _mistakes(_with(tmp_path, path, text))


@pytest.mark.parametrize("text", ["100", "+100"])
def test_a_plain_whole_number_is_read(tmp_path: Path, text: str) -> None:
    catalogue = read_event(_with(tmp_path, ("ticket_types", 3, "quantity"), text))
    assert catalogue.quotas[1].capacity == 100


@pytest.mark.parametrize("text", ["01067", "08056", "99084", "1.5", "true", "~x: 1", "[a]"])
def test_what_is_no_text_is_to_be_quoted(tmp_path: Path, text: str) -> None:
    found = _mistakes(_with(tmp_path, ("venue", "address", "postal_code"), text))
    assert any("postal_code" in path or path == "" for path in found)


def test_a_leading_zero_is_shown_as_it_was_written(tmp_path: Path) -> None:
    found = _mistakes(_with(tmp_path, ("ticket_types", 3, "quantity"), "0100"))
    assert "begins with a zero (0100)" in found["ticket_types[3].quantity"]
    found = _mistakes(_with(tmp_path, ("venue", "address", "postal_code"), "01067"))
    assert found["venue.address.postal_code"] == "must be text, not 01067: quote it"


@pytest.mark.parametrize(
    "text", ["yes", "on", "10:30", "2027-05-01", "0x10", "1_000", "NULL", "No"]
)
def test_text_is_text(tmp_path: Path, text: str) -> None:
    assert read_event(_with(tmp_path, ("event", "name"), text)).event.name == text


@pytest.mark.parametrize(
    "text", ["91", "-90.5", ".nan", ".inf", "1e999", "051.0", "-011", "0x5", "1_0"]
)
def test_a_degree_is_a_plain_number_in_its_range(tmp_path: Path, text: str) -> None:
    assert "venue.geo.latitude" in _mistakes(
        _with(tmp_path, ("venue", "geo"), f"{{latitude: {text}, longitude: 1}}")
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (r'"\ud83c"', "holds half a character"),
        (r'"a \udfab b"', "holds half a character"),
        (r'"\udfab\ud83c"', "holds half a character"),
        (r'"a\0b"', "holds a NUL character"),
    ],
)
@pytest.mark.parametrize(
    "path",
    [
        *(("event", "name"), ("event", "slug"), ("event", "description"), ("venue", "timezone")),
        *(("occurrences", 0, "key"), ("occurrences", 0, "starts_at"), ("ticket_types", 0, "code")),
        *(("ticket_types", 0, "tiers", 0, "price"), ("ticket_types", 1, "quotas", 0)),
        *(("allocations", 0, "seats", 0), ("venue", "seating_plan"), ("organization", "email")),
    ],
    ids=lambda path: ".".join(map(str, path)),
)
def test_text_that_cannot_be_kept_is_refused_everywhere(
    tmp_path: Path, path: tuple[str | int, ...], text: str, message: str
) -> None:
    found = _mistakes(_with(tmp_path, path, text))
    assert any(message in said for said in found.values())


def test_a_character_that_was_escaped_in_two_halves_is_whole(tmp_path: Path) -> None:
    file = written(tmp_path, event())
    document = {**event(), "event": {**event()["event"], "name": "Hamlet \U0001f3ab"}}
    file.write_text(json.dumps(document))  # JSON is YAML, too
    assert read_event(file).event.name == "Hamlet \U0001f3ab"


@pytest.mark.parametrize(
    "name", [r'"\ud83c"', r'"\0"', r'"a\nb"', "0100", "~", "? [a]\n", "!!int 1", "1.5"]
)
def test_a_member_of_a_strange_name_is_told_in_one_printable_line(
    tmp_path: Path, name: str
) -> None:
    file = written(tmp_path, event())
    file.write_text(file.read_text() + f"\n{name}: 1\n")
    with pytest.raises(InvalidDocumentError) as caught:
        read_event(file)
    assert all(line.isprintable() for line in str(caught.value).split("\n"))


@pytest.mark.parametrize(
    "text",
    [
        *("", "\n", "---\n", "~", "[]", "- a", "5", "text", "{}", "---\na: 1\n---\nb: 2\n"),
        *("a: &x 1\nb: *x", "<<: {a: 1}", "a: 1\na: 2", "a: !!python/name:os.system", "a: !x 1"),
        *('a: !!int "0100"', "a: !!timestamp x", "a: !!bool x", "a: !!binary x", "a: !!float x"),
        *(
            "? {a: 1}\n: 2",
            "? [a]\n: 2",
            "a: b: c",
            "\ta: 1",
            "{" * 3000,
            "[" * 100_000,
            "a:\n" * 9,
        ),
        *(
            "\x01",
            "a: \x7f",
            "%YAML 9.9\n---\na: 1",
            "\ufeff",
            "\ufeff\ufeffa: 1",
            "key: |\n" + " " * 9,
        ),
    ],
    ids=lambda text: repr(text)[:20],
)
def test_what_is_no_event_is_refused_without_a_traceback(tmp_path: Path, text: str) -> None:
    file = written(tmp_path, event())
    file.write_text(text)
    _mistakes(file)


@pytest.mark.parametrize(
    "data", [b"\xff\xfe", b"\xff", b"a: \xc3(", b"\xff\xfea", b"\x00", b"a\x00b"]
)
def test_what_is_no_text_is_refused(tmp_path: Path, data: bytes) -> None:
    file = written(tmp_path, event())
    file.write_bytes(data)
    _mistakes(file)


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    file = written(tmp_path, event())
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    seating = tmp_path / "plan.json"
    seating.write_bytes(b"\xef\xbb\xbf" + seating.read_bytes())
    assert read_event(file).event.name == "Hamlet"


def test_very_many_members_are_refused_at_once(tmp_path: Path) -> None:
    file = written(tmp_path, event())
    file.write_text("\n".join(f"m{number}: 1" for number in range(60_000)))
    assert "m0" in _mistakes(file)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"Small hall"', rb'"\ud800"'),
        ('"Small hall"', rb'"\udc00x"'),
        ('"Small hall"', rb'"\u0000"'),
        ('"Small hall"', b'"\xed\xa0\x80"'),
        ('"Left-1-1"', rb'"\ud83c"'),
        ('"x":25', b'"x":1e999'),
        ('"x":25', b'"x":NaN'),
        ('"x":25', b'"x":' + b"9" * 400),
        ('"x":25', b'"x":' + b"9" * 5000),
        ('"x":25', b'"x":25,"kept":' + b"9" * 5000),
        ('"x":25', b'"x":25,"kept":[' + b"9" * 30 + b"]"),
        ('"x":25', b'"x":025'),
        ('"x":25', b'"x":"25"'),
        ('"x":25', b'"x":true'),
        ('"categories":[', b'"categories":' + b"[" * 100_000),
    ],
)
def test_a_plan_that_cannot_be_kept_is_refused(tmp_path: Path, old: str, new: bytes) -> None:
    file = written(tmp_path, event())
    seating = tmp_path / "plan.json"
    data = msgspec.json.encode(plan())
    assert old.encode() in data
    seating.write_bytes(data.replace(old.encode(), new, 1))
    assert any("venue.seating_plan" in path for path in _mistakes(file))


_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["now", "in 1 days", "in 9999 days at 29:99", "2027-03-28T02:30:00", "0100"])
)
_values = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


def _said(file: Path) -> str:
    """Return what is said of a file that is refused, "" of one that is read."""
    try:
        assert isinstance(read_event(file), Catalogue)
    except InvalidDocumentError as error:
        return str(error)
    return ""


def _paths(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    return [path, *(found for key, item in items for found in _paths(item, (*path, key)))]


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    changes=st.lists(
        st.tuples(st.sampled_from(_paths(event())[1:]), _values), min_size=1, max_size=3
    )
)
def test_any_document_is_read_or_refused(tmp_path: Path, changes: list[Any]) -> None:
    document = event()
    for (*parents, last), value in changes:
        node: Any = document
        for part in parents:
            try:
                node = node[part]
            except (LookupError, TypeError):
                node = None
        if isinstance(node, dict) or (
            isinstance(node, list) and isinstance(last, int) and last < len(node)
        ):
            node[last] = value
    _said(written(tmp_path, document)).encode()


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(at=st.integers(0, 2_000), length=st.integers(0, 20), put=st.binary(max_size=12))
def test_any_bytes_are_read_or_refused(tmp_path: Path, at: int, length: int, put: bytes) -> None:
    file = written(tmp_path, event())
    data = file.read_bytes()
    file.write_bytes(data[:at] + put + data[at + length :])
    _said(file).encode()


def test_the_loader_reads_plain_yaml_as_others_do() -> None:
    text = yaml.safe_dump(event())
    from engine.catalogue.plain_yaml import parse

    assert parse(text.encode()) == event()
