from __future__ import annotations

import uuid
from collections import defaultdict
from typing import Any

import msgspec
import pytest

from engine.core.ids import new_id, ticket_number
from engine.sale.documents import Line, Order, OtherMoney, RecordKind
from engine.write_behind.names import Names, StaleNamesError
from engine.write_behind.projections import Rows, all_postings, postings, project, ticket_ids
from engine.write_behind.records import Entry, Record, decode
from tests.houses import small_house
from tests.persist.conftest import STANDING, confirmed, ordered, owed, refunded, stalls

HOUSE = small_house()
NAMES = {HOUSE.occurrence: Names(HOUSE)}


def of(kind: RecordKind, order: Order) -> Record:
    return Record(Entry("{s05}:log", "1-0", kind, b"document"), kind, order)


def sums(rows: Rows) -> dict[str, int]:
    found: dict[str, int] = defaultdict(int)
    for row in rows.ledger_entries:
        found[row[3]] += row[5]
    return {account: amount for account, amount in found.items() if amount}


def test_of_several_versions_every_one_is_history_and_the_newest_wins() -> None:
    order = ordered(HOUSE, 1, stalls(0, 1))
    rows = project([of("order.confirmed", confirmed(order)), of("order.placed", order)], NAMES)
    assert [row[6:8] for row in rows.orders] == [(2, "confirmed")]
    assert [row[2:4] for row in rows.order_events] == [
        (1, "order.placed"),
        (2, "order.confirmed"),
    ]


def test_a_record_that_comes_twice_in_one_batch_counts_once() -> None:
    paid = confirmed(ordered(HOUSE, 1))
    rows = project([of("order.confirmed", paid)] * 2, NAMES)
    assert (len(rows.order_events), len(rows.tickets)) == (1, 1)
    assert sum(row[5] for row in rows.ledger_entries if row[3] == "provider_clearing") == 1585


def test_tickets_have_the_frozen_names_of_their_seats_and_their_attendees() -> None:
    line = Line(type=STANDING, tier=0, price=1500, quantity=1)
    order = confirmed(ordered(HOUSE, 3, stalls(0, 5), line, attendees=["Ada", "Grace"]))
    tickets = project([of("order.confirmed", order)], NAMES).tickets
    assert [row[4:13] for row in tickets] == [
        (ticket_number(5, 3, 0), "valid", "stalls", 4500, "A-1-1", "A", "1", "1", "Ada"),
        (ticket_number(5, 3, 1), "valid", "stalls", 4500, "A-1-6", "A", "1", "6", "Grace"),
        (ticket_number(5, 3, 2), "valid", "standing", 1500, None, None, None, None, "Ada"),
    ]


def test_a_seat_after_a_row_end_has_the_next_rows_name() -> None:
    order = confirmed(ordered(HOUSE, 1, stalls(7)))
    assert project([of("order.confirmed", order)], NAMES).tickets[0][8:12] == (
        "A-2-1",
        "A",
        "2",
        "1",
    )


@pytest.mark.parametrize("position", [6, -1, 20, 999])
def test_a_position_that_is_no_seat_is_refused(position: int) -> None:
    order = confirmed(ordered(HOUSE, 1, stalls(position)))
    with pytest.raises(StaleNamesError):
        project([of("order.confirmed", order)], NAMES)


@pytest.mark.parametrize(("ticket_type", "tier"), [(9, 0), (0, 2), (-1, 0), (0, -1)])
def test_an_unknown_type_or_tier_is_refused(ticket_type: int, tier: int) -> None:
    line = Line(type=ticket_type, tier=tier, price=100, quantity=1)
    with pytest.raises(StaleNamesError):
        project([of("order.placed", ordered(HOUSE, 1, line))], NAMES)


def test_seats_and_quantity_must_agree() -> None:
    line = msgspec.structs.replace(stalls(0, 1), quantity=3)
    with pytest.raises(ValueError, match="2 seats for 3 tickets"):
        project([of("order.confirmed", confirmed(ordered(HOUSE, 1, line)))], NAMES)


def test_more_tickets_than_an_order_can_have_are_refused() -> None:
    line = Line(type=STANDING, tier=0, price=1500, quantity=1 << 40)
    with pytest.raises(ValueError, match="1099511627776 tickets"):
        project([of("order.confirmed", confirmed(ordered(HOUSE, 1, line)))], NAMES)


def test_the_money_of_an_order_has_no_row_until_something_is_known_of_it() -> None:
    order = ordered(HOUSE, 1)
    assert project([of("order.placed", order)], NAMES).payments == []
    assert len(project([of("order.confirmed", confirmed(order))], NAMES).payments) == 1


def test_void_tickets_come_first_so_that_a_seat_can_be_sold_again_in_the_same_batch() -> None:
    first = confirmed(ordered(HOUSE, 1, stalls(0)))
    second = confirmed(ordered(HOUSE, 2, stalls(0), id="0" * 32))
    rows = project(
        [
            of("order.confirmed", first),
            of("order.refund_due", owed(first)),
            of("order.confirmed", second),
        ],
        NAMES,
    )
    assert [row[5] for row in rows.tickets] == ["void", "valid"]


def test_every_posting_sums_to_zero_and_a_refund_leaves_nothing_but_its_trace() -> None:
    paid = confirmed(ordered(HOUSE, 1, stalls(0, 1)))
    back = owed(paid)
    records = [
        of("order.confirmed", paid),
        of("order.refund_due", back),
        of("order.refunded", refunded(back)),
    ]
    for record in records:
        entries = postings(record, HOUSE.organization)
        assert entries
        assert sum(row[5] for row in entries) == 0
    assert sums(project(records[:1], NAMES)) == {
        "provider_clearing": paid.total,
        "organizer_payable": -paid.subtotal,
        "platform_fees": -50,
        "payment_fees": -25,
        "tax_payable": -10,
    }
    assert sums(project(records[:2], NAMES)) == {
        "provider_clearing": paid.total,
        "refunds": -paid.total,
    }
    assert sums(project(records, NAMES)) == {}


def test_money_for_an_order_that_cannot_be_honoured_is_received_and_owed() -> None:
    order = ordered(HOUSE, 1)
    late = msgspec.structs.replace(
        confirmed(order), state="cancelled", confirmed_at=0, cancelled_at=5
    )
    late = msgspec.structs.replace(owed(late), state="cancelled")
    rows = project([of("order.refund_due", late)], NAMES)
    assert sums(rows) == {"provider_clearing": order.total, "refunds": -order.total}
    assert rows.tickets == []
    assert rows.payments[0][5:8] == (order.total, order.total, 0)


def test_a_free_order_has_a_ticket_and_no_money() -> None:
    order = ordered(
        HOUSE,
        1,
        Line(type=4, tier=0, price=0, quantity=2),
        platform_fee=0,
        payment_fee=0,
        tax=0,
        total=0,
        payment=None,
        state="confirmed",
        confirmed_at=5,
    )
    rows = project([of("order.confirmed", order)], NAMES)
    assert (len(rows.tickets), rows.payments, rows.ledger_entries) == (2, [], [])


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_postings_of_a_state_are_those_of_its_way(steps: int) -> None:
    paid = confirmed(ordered(HOUSE, 1))
    back = owed(paid)
    way: list[tuple[RecordKind, Order]] = [
        ("order.confirmed", paid),
        ("order.refund_due", back),
        ("order.refunded", refunded(back)),
    ]
    walked = project([of(kind, order) for kind, order in way[:steps]], NAMES).ledger_entries
    reached = all_postings(way[steps - 1][1], "o")
    assert added_up(walked) == added_up(reached)


def added_up(rows: list[tuple[Any, ...]]) -> dict[tuple[str, str], int]:
    """What each posting, without the version in its name, comes to on each account."""
    found: dict[tuple[str, str], int] = {}
    for row in rows:
        key = (row[2].split(" ")[0], row[3])
        found[key] = found.get(key, 0) + row[5]
    return {key: amount for key, amount in found.items() if amount}


def test_a_refund_that_fails_and_a_dispute_that_is_won_move_back() -> None:
    """Way and state agree whatever was moved to and fro, in whatever order it is written."""
    paid = confirmed(ordered(HOUSE, 1))
    back = owed(paid)
    total = paid.total

    def step(before: Order, **changes: Any) -> Order:
        assert before.payment
        payment = msgspec.structs.replace(before.payment, **changes)
        return msgspec.structs.replace(before, version=before.version + 1, payment=payment)

    given = step(back, refunded=total, moved=[0, total, 0, 0])
    failed = step(given, refunded=0, moved=[0, -total, 0, 0])
    taken = step(failed, withdrawn=total, moved=[0, 0, total, 0])
    won = step(taken, withdrawn=0, moved=[0, 0, -total, 0])
    other = step(
        won,
        others=[OtherMoney(currency="EUR", intent="pi_2", captured=70, refunded=70)],
        moved=[70, 70, 0, 0],
    )
    done = step(other, elsewhere=total, moved=[0, 0, 0, total])
    records = [
        of("order.confirmed", paid),
        of("order.refund_due", back),
        *[of("order.money", order) for order in (given, failed, taken, won, other, done)],
    ]
    for count in range(1, len(records) + 1):
        walked = project(records[:count], NAMES).ledger_entries
        assert added_up(walked) == added_up(all_postings(records[count - 1].order, "o"))
        assert sum(row[5] for row in walked) == 0
    assert sums(project(records[::-1], NAMES)) == {
        "provider_clearing": total,
        "other_means": -total,
    }


def test_ticket_ids_are_the_same_again_differ_and_are_uuids() -> None:
    order = new_id()
    made = ticket_ids(order, 1024)
    assert made == ticket_ids(order, 1024)
    assert len({order, *made}) == 1025
    highest = order[:16] + "b" + "f" * 15  # the count must not run into the variant's bits
    for text in (made[0], *ticket_ids(highest, 1)):
        found = uuid.UUID(text)
        assert (found.version, found.variant) == (7, uuid.RFC_4122)


@pytest.mark.parametrize(
    ("kind", "document", "why"),
    [
        ("order.placed", b"", "truncated"),
        ("order.placed", b"\xc1", "malformed"),
        ("order.placed", msgspec.msgpack.encode({"id": 5}), "Expected `str`"),
        ("order.forgotten", msgspec.msgpack.encode(ordered(HOUSE, 1)), "no kind of record"),
        ("", msgspec.msgpack.encode(ordered(HOUSE, 1)), "no kind of record"),
    ],
)
def test_what_is_no_record_is_a_value_error(kind: str, document: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        decode(Entry("{s05}:log", "1-0", kind, document))
