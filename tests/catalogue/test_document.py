from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

from engine.catalogue import reading, resolve
from engine.catalogue.catalogue import Catalogue
from engine.catalogue.files import read_event
from engine.catalogue.problems import PROBLEMS_MAX, InvalidDocumentError
from tests.catalogue.documents import DEMO, edited, event, plan, written


def _problems(directory: Path, document: Any, seating: Any = None) -> dict[str, str]:
    with pytest.raises(InvalidDocumentError) as caught:
        read_event(written(directory, document, seating))
    return {problem.path: problem.message for problem in caught.value.problems}


def _read(directory: Path, document: Any) -> Catalogue:
    return read_event(written(directory, document))


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    catalogue = _read(tmp_path, event())
    stalls, reduced, balcony, standing = catalogue.ticket_types
    assert [tier.price for tier in stalls.tiers] == [2000, 2500]
    assert stalls.tiers[0].capacity == 3
    assert reduced.quotas == ("reduced",)
    assert balcony.tiers[0].price == 1250
    assert (standing.category, standing.quotas) == (None, ("standing",))
    assert [(quota.code, quota.capacity) for quota in catalogue.quotas] == [
        ("reduced", 5),
        ("standing", 10),
    ]
    assert catalogue.allocations[0].seats == ("Left-1-1", "Left-1-2")
    assert catalogue.policies.hold_ttl_ms == 420_000
    assert catalogue.tax_rate_bp == 700
    assert catalogue.notices == ()


def test_the_demo_sells_every_one_of_1500() -> None:
    catalogue = read_event(DEMO)
    assert catalogue.plan is not None
    assert catalogue.plan.seat_count == 1252
    assert {kind.category for kind in catalogue.ticket_types} - {None} == {
        category.name for category in catalogue.plan.categories
    }
    (standing,) = [quota for quota in catalogue.quotas if quota.code == "standing"]
    assert standing.capacity == 248
    assert catalogue.allocations == ()
    assert catalogue.notices == ()
    room = catalogue.room
    assert (room.on, room.opens_at, room.pre_queue_ms) == (True, None, 1_800_000)
    assert (room.rate, room.rate_ms, room.cap) == (50, 5_000, 500)
    assert sum(kind == "wheelchair" for kind in catalogue.kinds.values()) == 21


_T, _A, _O, _W = "ticket_types", "allocations", "occurrences", "waiting_room"


@pytest.mark.parametrize(
    ("path", "value", "named", "message"),
    [
        ("organization", ..., "organization", "is missing"),
        ("organization", [], "organization", "must have members"),
        ("organization.slug", "The Players", "organization.slug", "must be a slug"),
        ("organization.slug", "-a", "organization.slug", "must be a slug"),
        ("organization.nme", "x", "organization.nme", 'did you mean "name"?'),
        ("organization.email", "nobody", "organization.email", "an e-mail address"),
        ("organization.name", "", "organization.name", "must not be empty"),
        ("organization.name", "a\0b", "organization.name", "NUL"),
        ("venue", ..., "venue", "is missing"),
        ("venue.timezone", "Europe/Erfurt", "venue.timezone", "not a time zone"),
        ("venue.timezone", "../etc/passwd", "venue.timezone", "not a time zone"),
        ("venue.address", {"country": "Germany"}, "venue.address.country", "two capital"),
        ("venue.address", {"postal_code": 99089}, "venue.address.postal_code", "quote it"),
        ("venue.geo", {"latitude": 91, "longitude": 0}, "venue.geo.latitude", "from -90"),
        ("venue.geo", {"latitude": 9}, "venue.geo.longitude", "is missing"),
        ("venue.capacity", 0, "venue.capacity", "must be from 1"),
        ("venue.capacity", True, "venue.capacity", "whole number"),
        ("venue.capacity", 1.5, "venue.capacity", "whole number"),
        ("venue.seating_plan", "none.json", "venue.seating_plan (none.json)", "there is no"),
        ("venue.seating_plan", 1, "venue.seating_plan", "must be text"),
        (
            "venue.seat_kinds",
            [{"kind": "wheelchair", "categories": ["Stall"]}],
            "venue.seat_kinds[0].categories[0]",
            'did you mean "Stalls"?',
        ),
        (
            "venue.seat_kinds",
            [{"kind": "wheelchair", "seats": ["Nope"]}],
            "venue.seat_kinds[0].seats[0]",
            "not a seat",
        ),
        (
            "venue.seat_kinds",
            [
                {"kind": "wheelchair", "seats": ["Left-1-1"]},
                {"kind": "companion", "seats": ["Left-1-1"]},
            ],
            "venue.seat_kinds[1]",
            "is wheelchair already",
        ),
        ("event.category", "theater", "event.category", 'did you mean "theatre"?'),
        ("event.currency", "EURO", "event.currency", 'did you mean "EUR"?'),
        ("event.tax_percent", 7, "event.tax_percent", "in quotes"),
        ("event.tax_percent", "100.01", "event.tax_percent", "more than 100"),
        ("event.tax_percent", "7.125", "event.tax_percent", "more than 2 decimals"),
        ("fees", {"payment_fixed": 0.25}, "fees.payment_fixed", "in quotes"),
        ("fees", {"payment_percent": "-1"}, "fees.payment_percent", "in quotes"),
        ("policies", {"hold": "7"}, "policies.hold", "a length of time"),
        ("policies", {"hold": "20 minutes"}, "policies.hold", "longer than hold_max"),
        ("policies", {"hold_max": "25 hours"}, "policies.hold_max", "more than 24 hours"),
        ("policies", {"max_per_order": 101}, "policies.max_per_order", "from 1 to 100"),
        ("policies", 5, "policies", "must have members"),
        (_W, 5, _W, "must have members"),
        (_W, {"on": "yes"}, f"{_W}.on", "must be true or false, not 'yes'"),
        (_W, {"on": 1}, f"{_W}.on", "must be true or false"),
        (_W, {"opens": "now"}, f"{_W}.opens", 'did you mean "opens_at"?'),
        (_W, {"opens_at": "soon"}, f"{_W}.opens_at", "is not a time"),
        (_W, {"opens_at": "2031-01-01T09:59:59+01:00"}, f"{_W}.opens_at", "before the sale of"),
        (_W, {"opens_at": "2031-05-01T19:00:00+02:00"}, f"{_W}.opens_at", "not before the end of"),
        (_W, {"pre_queue": "0 minutes"}, f"{_W}.pre_queue", "a length of time"),
        (_W, {"pre_queue": "25 hours"}, f"{_W}.pre_queue", "more than 24 hours"),
        (_W, {"rate": 50}, f"{_W}.rate", "a rate such as"),
        (_W, {"rate": "0 per 5 seconds"}, f"{_W}.rate", "a rate such as"),
        (_W, {"rate": "1000000 per minute"}, f"{_W}.rate", "a rate such as"),
        (_W, {"rate": "50 per day"}, f"{_W}.rate", "a rate such as"),
        (_W, {"rate": "50 / 5 seconds"}, f"{_W}.rate", "a rate such as"),
        (_W, {"rate": "50 per 11 minutes"}, f"{_W}.rate", "over more than 10 minutes"),
        (_W, {"rate": "10001 per second"}, f"{_W}.rate", "more than 10,000 a second"),
        (_W, {"cap": 0}, f"{_W}.cap", "from 1 to 1,000,000"),
        (_W, {"claim": "61 minutes"}, f"{_W}.claim", "more than 1 hour"),
        (_W, {"shop": "1441 minutes"}, f"{_W}.shop", "more than 24 hours"),
        (_O, [], _O, "at least 1"),
        (_O, ..., _O, "is missing"),
        (f"{_O}.0.key", "Pre miere", f"{_O}[0].key", "must be a slug"),
        (f"{_O}.0.starts_at", "2031-05-01T20:00:00", f"{_O}[0].starts_at", "no offset"),
        (f"{_O}.0.starts_at", "tomorrow", f"{_O}[0].starts_at", "is not a time"),
        (f"{_O}.0.starts_at", "in 3 days at 25:00", f"{_O}[0].starts_at", "is not a time"),
        (f"{_O}.0.starts_at", "1031-05-01T20:00:00Z", f"{_O}[0].starts_at", "century"),
        (f"{_O}.0.ends_at", "2031-05-01T20:00:00+02:00", f"{_O}[0].ends_at", "not after starts_at"),
        (f"{_O}.0.sale_ends_at", "now", f"{_O}[0].sale_ends_at", "not after sale_starts_at"),
        (f"{_O}.0.timezone", "Mars", f"{_O}[0].timezone", "not a time zone"),
        ("quotas.0.capacity", -1, "quotas[0].capacity", "from 0"),
        ("quotas", [{"code": "reduced", "capacity": 1}] * 2, "quotas[1].code", "quotas[0] too"),
        (
            "quotas",
            [{"code": "reduced", "capacity": 1}, {"code": "standing", "capacity": 1}],
            f"{_T}[3].quantity",
            "rename one",
        ),
        (f"{_T}.0.categry", "x", f"{_T}[0].categry", 'did you mean "category"?'),
        (f"{_T}.0.category", "Stals", f"{_T}[0].category", 'did you mean "Stalls"?'),
        (f"{_T}.2.category", ..., f"{_T}[2]", "needs a category"),
        (f"{_T}.2.price", ..., f"{_T}[2]", "needs a price"),
        (f"{_T}.2.price", 12.5, f"{_T}[2].price", "in quotes"),
        (f"{_T}.2.price", 12, f"{_T}[2].price", "in quotes"),
        (f"{_T}.2.price", "12,50", f"{_T}[2].price", "in quotes"),
        (f"{_T}.2.price", "-1.00", f"{_T}[2].price", "in quotes"),
        (f"{_T}.2.price", "1e3", f"{_T}[2].price", "in quotes"),
        (f"{_T}.2.price", "12.505", f"{_T}[2].price", "more than 2 decimals"),
        (f"{_T}.2.price", "99999999999.00", f"{_T}[2].price", "too large"),
        (f"{_T}.0.price", "1.00", f"{_T}[0].price", "either price or tiers"),
        (f"{_T}.0.tiers.0.price", 20.0, f"{_T}[0].tiers[0].price", "in quotes"),
        (f"{_T}.0.tiers.0.quantity", 0, f"{_T}[0].tiers[0].quantity", "from 1"),
        (f"{_T}.0.tiers.1.code", "early", f"{_T}[0].tiers[1].code", "tiers[0] too"),
        (f"{_T}.0.tiers.1.ends_at", "soon", f"{_T}[0].tiers[1].ends_at", "is not a time"),
        (
            f"{_T}.0.tiers.0",
            {"code": "a", "price": "1", "starts_at": "in 9 days", "ends_at": "in 8 days"},
            f"{_T}[0].tiers[0].ends_at",
            "is not after starts_at",
        ),
        (f"{_T}.1.quotas", ["reducd"], f"{_T}[1].quotas[0]", 'did you mean "reduced"?'),
        (f"{_T}.1.quotas", ["reduced"] * 2, f"{_T}[1].quotas[1]", "listed twice"),
        (f"{_T}.1.code", "stalls", f"{_T}[1].code", f"that of {_T}[0] too"),
        (f"{_T}.1.min_per_order", 11, f"{_T}[1].min_per_order", "more than the 10"),
        (f"{_T}.3.quantity", "10", f"{_T}[3].quantity", "whole number"),
        (f"{_A}.0.purpose", "friends", f"{_A}[0].purpose", "must be one of artist"),
        (f"{_A}.0.seats", ["Left-9-9"], f"{_A}[0].seats[0]", "not a seat"),
        (f"{_A}.0.seats", [], f"{_A}[0]", "needs either seats"),
        (f"{_A}.0.quota", "reduced", f"{_A}[0]", "needs either seats"),
        (f"{_A}.0.sections", ["Lft"], f"{_A}[0].sections[0]", 'did you mean "Left"?'),
        (f"{_A}.0.rows", [{"section": "Left", "row": "9"}], f"{_A}[0].rows[0].row", "not a row"),
        (f"{_A}.0.rows", [{"section": "Up", "row": "1"}], f"{_A}[0].rows[0].section", "section"),
        (f"{_A}.0.release_at", "later", f"{_A}[0].release_at", "is not a time"),
        (f"{_A}.1.quota", "standng", f"{_A}[1].quota", 'did you mean "standing"?'),
        (f"{_A}.1.quota", ..., f"{_A}[1].quota", "belong together"),
        (f"{_A}.1.quantity", ..., f"{_A}[1].quantity", "belong together"),
        (f"{_A}.1.quantity", 11, f"{_A}[1].quantity", "more than the 10"),
        (
            f"{_A}.1",
            {"code": "vip", "purpose": "vip", "sections": ["Left"]},
            f"{_A}[1]",
            "seat 'Left-1-1' is in allocations[0] already, and 1 more",
        ),
    ],
)
def test_each_mistake_is_named_with_its_path(
    tmp_path: Path, path: str, value: Any, named: str, message: str
) -> None:
    problems = _problems(tmp_path, edited(event(), path, value))
    assert list(problems) == [named]
    assert message in problems[named]


def test_without_its_section_there_is_no_waiting_room(tmp_path: Path) -> None:
    assert not _read(tmp_path, event()).room.on


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        ("50 per 5 seconds", (50, 5_000)),
        ("1 per second", (1, 1_000)),
        ("600 per minute", (600, 60_000)),
        ("20 per 10 minutes", (20, 600_000)),
    ],
)
def test_a_waiting_room_is_read(tmp_path: Path, rate: str, expected: tuple[int, int]) -> None:
    given = {"rate": rate, "cap": 40, "claim": "90 seconds", "pre_queue": "1 hour"}
    room = _read(tmp_path, {**event(), "waiting_room": given}).room
    assert (room.rate, room.rate_ms) == expected
    assert (room.on, room.opens_at, room.cap) == (True, None, 40)
    assert (room.pre_queue_ms, room.claim_ms, room.shop_ms) == (3_600_000, 90_000, 600_000)


def test_an_opening_must_fit_the_sale_of_every_occurrence(tmp_path: Path) -> None:
    document = event() | {"waiting_room": {"opens_at": "2031-01-02T10:00:00Z"}}
    assert _read(tmp_path, document).room.opens_at is not None
    late = {"key": "late", "sale_starts_at": "2031-02-01T10:00:00Z"}
    document["occurrences"].append(document["occurrences"][0] | late)
    assert _problems(tmp_path, document) == {
        "waiting_room.opens_at": 'is before the sale of occurrence "late"'
    }
    document["occurrences"][1]["sale_starts_at"] = "whenever"  # then that is the mistake
    assert list(_problems(tmp_path, document)) == ["occurrences[1].sale_starts_at"]


def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    document = edited(event(), "ticket_types.2.tiers", [{"code": "x", "price": 5.0}])
    document = edited(document, "venue.timezone", "Nowhere")
    document = edited(document, "occurrences.0.ends_at", "later")
    document = edited(document, "allocations.0.seats", ["Left-1-1", "Gone"])
    document["colour"] = "red"
    seating = edited(plan(), "zones.0.rows.0.seats.0.category", 3)
    assert set(_problems(tmp_path, document, seating)) == {
        "colour",
        "venue.timezone",
        "occurrences[0].ends_at",
        "ticket_types[2].price",
        "ticket_types[2].tiers[0].price",
        "venue.seating_plan (plan.json) zones[0].rows[0].seats[0].category",
    }


def test_an_event_without_ticket_types_is_refused(tmp_path: Path) -> None:
    document = edited(edited(event(), "ticket_types", []), "allocations", [])
    assert _problems(tmp_path, document) == {"ticket_types": "must have at least 1"}


def test_the_message_lists_the_mistakes_and_is_bounded(tmp_path: Path) -> None:
    document = edited(
        event(), "allocations.0.seats", [f"none-{i}" for i in range(PROBLEMS_MAX + 5)]
    )
    with pytest.raises(InvalidDocumentError) as caught:
        _read(tmp_path, document)
    lines = caught.value.detail.splitlines()
    assert f"has {PROBLEMS_MAX + 5} mistakes; nothing was loaded" in lines[0]
    assert lines[1].startswith("  allocations[0].seats[0]: 'none-0' is not a seat")
    assert lines[-1] == "  ... and 5 more"
    assert len(caught.value.extra["problems"]) == PROBLEMS_MAX


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must have members"),
        ("- 1", "must have members"),
        ("a: [", "is not YAML"),
        ("organization: {}\norganization: {}", "'organization' is given twice"),
        ("a: &x 1\nb: *x", "aliases are not allowed"),
        ("a: !!python/object/apply:os.system [ls]", "is not YAML"),
        ("a: " + "[" * 5000, "is not YAML"),
        ("a: " + "9" * 5000, "is not YAML"),
    ],
)
def test_what_is_no_event_at_all_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "event.yaml"
    path.write_text(text)
    with pytest.raises(InvalidDocumentError, match="nothing was loaded") as caught:
        read_event(path)
    assert message in caught.value.detail


def test_a_file_that_is_not_there_or_too_large_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(InvalidDocumentError, match=str(path)):
            read_event(path)
    monkeypatch.setattr(reading, "BYTES_MAX", 10)
    with pytest.raises(InvalidDocumentError, match="larger than"):
        _read(tmp_path, event())


def test_plain_scalars_are_not_guessed_into_times_or_switches(tmp_path: Path) -> None:
    path = written(tmp_path, event())
    text = path.read_text().replace("name: Hamlet", "name: no").replace("code: crew", "code: 1_0")
    times = text.replace("'2031-05-01T20:00:00+02:00'", "2031-05-01T20:00:00+02:00")
    assert times != text
    path.write_text(times)
    catalogue = read_event(path)
    assert catalogue.event.name == "no"
    assert catalogue.allocations[1].code == "1_0"


def test_currencies_without_decimals_refuse_them(tmp_path: Path) -> None:
    document = edited(event(), "event.currency", "JPY")
    assert "more than 0 decimals" in _problems(tmp_path, document)["ticket_types[2].price"]


def test_unsold_categories_and_unused_quotas_are_noticed(tmp_path: Path) -> None:
    document = edited(edited(event(), "ticket_types.2", ...), "ticket_types.1.quotas", [])
    assert _read(tmp_path, document).notices == (
        'no ticket type takes from quota "reduced"',
        'no ticket type sells the 4 seats of category "Balcony"',
    )


def test_occurrences_times_ticket_types_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolve, "TYPES_OF_ALL_OCCURRENCES_MAX", 3)
    assert "more than 3" in _problems(tmp_path, event())["occurrences"]


def test_an_event_needs_no_plan(tmp_path: Path) -> None:
    document = edited(event(), "venue.seating_plan", ...)
    document["ticket_types"] = document["ticket_types"][3:]
    document["allocations"] = document["allocations"][1:]
    document["quotas"] = []
    assert _read(tmp_path, document).plan is None
    document["ticket_types"].append({"code": "s", "name": "S", "category": "X", "price": "1"})
    problems = _problems(tmp_path, document)
    assert "needs a venue.seating_plan" in problems["ticket_types[1].category"]


def test_rows_and_sections_name_their_seats(tmp_path: Path) -> None:
    allocation = {
        "code": "group",
        "purpose": "group",
        "rows": [{"section": "Left", "row": "2"}],
        "sections": ["Right"],
        "seats": ["Right-1-1"],
    }
    (found,) = _read(tmp_path, edited(event(), "allocations", [allocation])).allocations
    assert sorted(found.seats) == sorted(
        [f"Left-2-{n}" for n in range(1, 5)]
        + [f"Right-{r}-{n}" for r in (1, 2) for n in range(1, 5)]
    )


def test_text_in_yaml_may_be_long_and_folded(tmp_path: Path) -> None:
    path = written(tmp_path, event())
    folded = textwrap.dedent("""\
        event:
          description: >
            One
            line
        """)
    path.write_text(path.read_text().replace("event:\n", folded, 1))
    assert read_event(path).event.description == "One line\n"
