from __future__ import annotations

import json
from typing import Any

import pytest

from engine.catalogue import seating_plan
from engine.catalogue.problems import InvalidDocumentError
from engine.catalogue.seating_plan import read_plan, write_plan
from tests.catalogue.documents import HALL, edited, plan


def _problems(document: Any) -> dict[str, str]:
    with pytest.raises(InvalidDocumentError) as caught:
        read_plan(document if isinstance(document, bytes) else json.dumps(document).encode())
    return {problem.path: problem.message for problem in caught.value.problems}


def test_the_real_hall_is_written_back_equal() -> None:
    read = read_plan(HALL.read_bytes())
    assert read.seat_count == 1252
    assert json.loads(write_plan(read)) == json.loads(HALL.read_bytes())


def test_members_that_nobody_knows_are_written_back() -> None:
    document = plan()
    document["made_by"] = {"tool": "x", "list": [1, None, 2.5]}
    document["categories"][1]["rank"] = 2
    document["size"]["unit"] = "px"
    document["zones"][0] |= {"areas": [{"shape": "circle"}], "zone_id": "L"}
    document["zones"][0]["position"]["z"] = 3.5
    document["zones"][0]["rows"][0]["row_label"] = None
    document["zones"][0]["rows"][0]["seats"][0] |= {
        "radius": 10,
        "position": {"x": 0, "y": 0, "r": 90},
    }
    assert json.loads(write_plan(read_plan(json.dumps(document).encode()))) == document


@pytest.mark.parametrize(
    "path", ["size", "zones.0.name", "zones.0.rows.1.position", "categories.0.color"]
)
def test_optional_members_that_are_absent_stay_absent(path: str) -> None:
    document = edited(plan(), path, ...)
    assert json.loads(write_plan(read_plan(json.dumps(document).encode()))) == document


@pytest.mark.parametrize(
    ("path", "value", "named", "message"),
    [
        ("name", ..., "name", "is missing"),
        ("name", 5, "name", "must be text"),
        ("name", "x" * 201, "name", "1 to 200 characters"),
        ("categories", {}, "categories", "must be a list"),
        ("categories.1.name", "Stalls", "categories[1].name", "two categories"),
        ("categories.0", "Stalls", "categories[0]", "must be an object"),
        ("size", [], "size", "must be an object"),
        ("size.width", -1, "size.width", "must be from 0"),
        ("size.height", ..., "size.height", "is missing"),
        ("zones", None, "zones", "must be a list"),
        ("zones.0.position", ..., "zones[0].position", "is missing"),
        ("zones.0.position.x", "0", "zones[0].position.x", "must be a number"),
        ("zones.1.position.y", True, "zones[1].position.y", "must be a number"),
        ("zones.0.rows.1.row_number", 2, "zones[0].rows[1].row_number", "must be text"),
        ("zones.0.rows.0.position", None, "zones[0].rows[0].position", "must be an object"),
        ("zones.0.rows.0.seats.3.position.x", 2e6, "zones[0].rows[0].seats[3].position.x", "1,000"),
        ("zones.0.rows.0.seats.3", 7, "zones[0].rows[0].seats[3]", "must be an object"),
        ("zones.0.rows.0.seats.3.seat_guid", "", "zones[0].rows[0].seats[3].seat_guid", "1 to 64"),
        ("zones.0.rows.0.seats.3.seat_guid", "g" * 65, "zones[0].rows[0].seats[3].seat_guid", "64"),
        (
            "zones.1.rows.0.seats.0.seat_guid",
            "Left-1-1",
            "zones[1].rows[0].seats[0].seat_guid",
            "is the guid of zones[0].rows[0].seats[0] too",
        ),
        (
            "zones.1.rows.0.seats.2.category",
            "Stals",
            "zones[1].rows[0].seats[2].category",
            'did you mean "Stalls"?',
        ),
    ],
)
def test_each_mistake_is_named_with_its_path(
    path: str, value: Any, named: str, message: str
) -> None:
    assert message in _problems(edited(plan(), path, value))[named]


def test_all_mistakes_are_named_at_once() -> None:
    document = edited(edited(plan(), "name", 1), "zones.0.rows.0.seats.1.category", "Nowhere")
    document["zones"][1]["rows"][1]["seats"][0]["seat_number"] = None
    assert set(_problems(document)) == {
        "name",
        "zones[0].rows[0].seats[1].category",
        "zones[1].rows[1].seats[0].seat_number",
    }


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is not JSON"),
        (b'{"name": "x"', "is not JSON"),
        (b'{"name": NaN}', "is not JSON"),
        (b'{"name": "\xff"}', "is not JSON"),
        (b'{"a": ' + b"[" * 100_000, "is not JSON"),
        (json.dumps(plan() | {"note": "a\0b"}).encode(), "NUL"),
    ],
)
def test_what_is_no_plan_at_all_is_refused(data: bytes, message: str) -> None:
    assert message in " ".join(_problems(data).values())


def test_an_escaped_backslash_before_u0000_is_no_nul() -> None:
    document = plan() | {"note": "a\\u0000b"}
    assert json.loads(write_plan(read_plan(json.dumps(document).encode()))) == document


def test_sizes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seating_plan, "SEATS_MAX", 3)
    assert "more than 3" in _problems(plan())["zones[0].rows[0].seats"]
    monkeypatch.setattr(seating_plan, "SEATS_MAX", 4)
    monkeypatch.setattr(seating_plan, "PLAN_SEATS_MAX", 15)
    assert _problems(plan()) == {"zones": "hold more than 15 seats"}
    monkeypatch.setattr(seating_plan, "BYTES_MAX", 10)
    assert "larger than" in _problems(plan())[""]
