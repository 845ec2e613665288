"""The stadiums that are measured, and the requests for them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import orjson

from engine.core.settings import Settings
from engine.core.tokens import TokenSigner
from engine.sale.inventory import layout
from loadtest.bench import requests
from loadtest.bench.commands import batches
from loadtest.stadium import lines_by_category, seats_together, stadium_snapshot

SEATS = 700


def test_every_seat_is_there_once_and_can_be_bought() -> None:
    snapshot = stadium_snapshot(SEATS)
    seats = [seat for section in snapshot.sections for row in section.rows for seat in row.seats]
    assert len({seat.guid for seat in seats}) == SEATS
    assert {seat.category for seat in seats} == {kind.category for kind in snapshot.ticket_types}
    layout.lay_out(snapshot)


def test_neighbours_are_neighbours_of_one_category_and_nobody_is_named_twice() -> None:
    snapshot = stadium_snapshot(SEATS)
    rows = [row.seats for section in snapshot.sections for row in section.rows]
    side_by_side = {(a.guid, b.guid) for row in rows for a, b in pairwise(row)}
    groups = list(seats_together(snapshot, 2))
    assert all((a.guid, b.guid) in side_by_side for a, b in groups)
    assert all(a.category == b.category for a, b in groups)
    named = [seat.guid for group in groups for seat in group]
    assert len(set(named)) == len(named)
    assert len(named) > SEATS * 0.8


def test_lines_of_all_categories_are_all_seats() -> None:
    snapshot = stadium_snapshot(SEATS)
    taken = [
        pair
        for _, seats in lines_by_category(snapshot, 9)
        for pair in zip(seats[::2], seats[1::2], strict=True)
    ]
    assert len(set(taken)) == len(taken) == SEATS
    assert max(len(seats) for _, seats in lines_by_category(snapshot, 9)) == 18


def test_every_request_has_its_own_buyer_key_and_seats(tmp_path: Path) -> None:
    signer = TokenSigner(Settings().token_secret)
    snapshot = stadium_snapshot(SEATS)
    file = tmp_path / "requests"
    assert requests.write(file, requests.holds(requests.named([snapshot], 2), signer), 100) == 100
    lines = [line.split("\t") for line in file.read_text().splitlines()]
    assert {path for path, *_ in lines} == {f"/v1/occurrences/{snapshot.occurrence}/holds"}
    assert len({signer.verify(token).sub for _, token, _, _ in lines}) == 100
    assert len({key for _, _, key, _ in lines}) == 100
    asked = [guid for *_, body in lines for guid in orjson.loads(body)["lines"][0]["seats"]]
    assert len(set(asked)) == 200


def test_no_more_of_the_best_are_asked_for_than_can_be_had() -> None:
    snapshot = stadium_snapshot(SEATS)
    wanted = [line["ticket_type"] for _, line in requests.best([snapshot], 2)]
    for kind in snapshot.ticket_types:
        pairs = [g for g in seats_together(snapshot, 2) if g[0].category == kind.category]
        assert wanted.count(kind.code) <= len(pairs)
    assert len(wanted) < len(list(seats_together(snapshot, 2)))


def test_batches_are_full_but_the_last() -> None:
    assert [len(batch) for batch in batches(range(120), 50)] == [50, 50, 20]
