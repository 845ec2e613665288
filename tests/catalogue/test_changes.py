from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from engine.catalogue.changes import plan_republication
from engine.core.money import Fees
from engine.sale.inventory.snapshot import (
    Category,
    Quota,
    Room,
    Row,
    Seat,
    Section,
    Snapshot,
    TicketType,
    Tier,
)


def _seat(number: int, **values: Any) -> Seat:
    seat = Seat(guid=f"A-{number}", number=str(number), x=number, y=0, category=0)
    return replace(seat, **values)


_SEATS = (_seat(1), _seat(2), _seat(3, blocked=True))
_SEATED = TicketType(
    code="seated",
    name="Seated",
    kind="seat",
    category=0,
    tiers=(
        Tier(code="early", name="Early", price=10, capacity=5),
        Tier(code="full", name="Full", price=20),
    ),
)
_STANDING = TicketType(
    code="standing",
    name="Standing",
    kind="general",
    quotas=(0,),
    tiers=(Tier(code="regular", name="Regular", price=5),),
)
_OLD = Snapshot(
    occurrence="o",
    organization="g",
    event="e",
    event_name="Event",
    venue_name="Venue",
    starts_at=10,
    ends_at=20,
    timezone="UTC",
    sale_starts_at=1,
    sale_ends_at=9,
    currency="EUR",
    tax_rate_bp=700,
    fees=Fees(payment_fixed=25),
    categories=(Category(name="A"), Category(name="B")),
    quotas=(Quota(code="standing", name="Standing", capacity=10, blocked=2),),
    ticket_types=(_SEATED, _STANDING),
    sections=(Section(name="A", rows=(Row(name="1", seats=_SEATS),)),),
    focus_x=1.0,
    focus_y=1.0,
)


def _seated(*seats: Seat) -> dict[str, Any]:
    return {"sections": (Section(name="A", rows=(Row(name="1", seats=seats),)),)}


def _type(which: TicketType, **values: Any) -> dict[str, Any]:
    return {
        "ticket_types": tuple(
            replace(item, **values) if item.code == which.code else item
            for item in _OLD.ticket_types
        )
    }


def _tier(code: str, **values: Any) -> dict[str, Any]:
    tiers = (replace(tier, **values) if tier.code == code else tier for tier in _SEATED.tiers)
    return _type(_SEATED, tiers=tuple(tiers))


def _quota(**values: Any) -> dict[str, Any]:
    return {"quotas": (replace(_OLD.quotas[0], **values),)}


_MORE = Tier(code="late", name="Late", price=30)
_NEW_TYPE = replace(_STANDING, code="new", quotas=(1,))
_NEW_QUOTA = Quota(code="new", name="New", capacity=3)


_MIDNIGHT = "Thu 01 Jan 1970 00:00 UTC (UTC+00:00)"
_A_MINUTE_LATER = "Thu 01 Jan 1970 00:01 UTC (UTC+00:00)"


@pytest.mark.parametrize(
    ("values", "change"),
    [
        ({"event_name": "Other"}, "event name: Event -> Other"),
        ({"sale_ends_at": 60_000}, f"sale ends at: {_MIDNIGHT} -> {_A_MINUTE_LATER}"),
        ({"starts_at": 60_000}, f"starts at: {_MIDNIGHT} -> {_A_MINUTE_LATER}"),
        ({"hold_ttl_ms": 60_000}, "hold ttl: 7 min 0 s -> 1 min 0 s"),
        ({"max_per_order": 4}, "max per order: 10 -> 4"),
        ({"max_per_buyer": 4}, "max per buyer: none -> 4"),
        ({"room": Room(on=True)}, "waiting room: on False -> True"),
        ({"room": Room(on=False, claim_ms=60_000)}, "waiting room: claim 2 min 0 s -> 1 min 0 s"),
        ({"room": Room(on=False, opens_at=5)}, f"waiting room: opens at none -> {_MIDNIGHT}"),
        (_type(_SEATED, name="Seats"), 'ticket type "seated": name Seated -> Seats'),
        (_type(_SEATED, max_per_buyer=2), 'ticket type "seated": max per buyer none -> 2'),
        (
            _type(_SEATED, sale_ends_at=5),
            f'ticket type "seated": sale ends at none -> {_MIDNIGHT}',
        ),
        (_tier("full", price=25), 'ticket type "seated": tier "full": price 20 -> 25'),
        (
            _tier("early", ends_at=5),
            f'ticket type "seated": tier "early": ends at none -> {_MIDNIGHT}',
        ),
        (_tier("early", capacity=6), 'ticket type "seated": tier "early": quantity 5 -> 6'),
        (_type(_SEATED, tiers=(*_SEATED.tiers, _MORE)), 'ticket type "seated": tier "late" added'),
        (_quota(capacity=11), 'quota "standing": capacity 10 -> 11'),
        (_quota(blocked=0), 'quota "standing": set aside 2 -> 0'),
        (_quota(name="Floor"), 'quota "standing": name Standing -> Floor'),
        ({"quotas": (*_OLD.quotas, _NEW_QUOTA)}, 'quota "new" added'),
        (_seated(_seat(1, blocked=True), *_SEATS[1:]), "1 seats set aside: A-1"),
        (_seated(*_SEATS[:2], _seat(3)), "1 seats released: A-3"),
    ],
)
def test_what_may_change_in_mid_sale_is_told(values: dict[str, Any], change: str) -> None:
    plan = plan_republication(_OLD, replace(_OLD, **values))
    assert (plan.changes, plan.refusals) == ((change,), ())


@pytest.mark.parametrize(
    ("values", "refusal"),
    [
        ({"currency": "USD"}, "currency cannot change"),
        ({"tax_rate_bp": 800}, "tax rate cannot change"),
        ({"fees": Fees()}, "fees cannot change"),
        ({"organization": "h"}, "organization cannot change"),
        ({"event": "f"}, "event cannot change"),
        ({"occurrence": "p"}, "occurrence cannot change"),
        ({"categories": _OLD.categories[::-1]}, "categories cannot change"),
        ({"focus_x": 2.0}, "focus x cannot change"),
        ({"width": 5.0}, "width cannot change"),
        ({"ticket_types": (_SEATED,)}, 'ticket type "standing" cannot be removed'),
        ({"ticket_types": (_STANDING, _SEATED)}, "ticket types cannot change their order"),
        (
            {"ticket_types": (_NEW_TYPE, *_OLD.ticket_types)},
            "ticket types cannot change their order",
        ),
        (_type(_STANDING, kind="seat"), 'ticket type "standing": kind cannot change'),
        (_type(_SEATED, category=1), 'ticket type "seated": category cannot change'),
        (_type(_STANDING, quotas=()), 'ticket type "standing": quotas cannot change'),
        (_type(_SEATED, tiers=_SEATED.tiers[1:]), 'tier "early" cannot be removed'),
        (_type(_SEATED, tiers=_SEATED.tiers[::-1]), "tiers cannot change their order"),
        (_tier("early", capacity=4), 'tier "early": quantity 5 -> 4 cannot be lowered'),
        (_tier("early", capacity=None), 'tier "early": having a quantity or not cannot change'),
        (_tier("full", capacity=9), 'tier "full": having a quantity or not cannot change'),
        ({"quotas": ()}, 'quota "standing" cannot be removed'),
        ({"quotas": (_NEW_QUOTA, *_OLD.quotas)}, "quotas cannot change their order"),
        (_quota(capacity=9), 'quota "standing": capacity 10 -> 9 cannot be lowered'),
        (_seated(*_SEATS[:2]), "the seat map cannot change"),
        (_seated(*_SEATS[::-1]), "the seat map cannot change"),
        (_seated(_seat(1, kind="companion"), *_SEATS[1:]), "the seat map cannot change"),
        (_seated(_seat(1, category=1), *_SEATS[1:]), "the seat map cannot change"),
        (_seated(_seat(1, guid="B-1"), *_SEATS[1:]), "the seat map cannot change"),
        ({"sections": ()}, "the seat map cannot change"),
    ],
)
def test_what_may_not_change_in_mid_sale_is_refused_by_name(
    values: dict[str, Any], refusal: str
) -> None:
    plan = plan_republication(_OLD, replace(_OLD, **values))
    assert any(refusal in item for item in plan.refusals)


def test_without_an_edit_there_is_nothing_to_do() -> None:
    plan = plan_republication(_OLD, replace(_OLD))
    assert (plan.changes, plan.refusals) == ((), ())


def test_a_new_type_with_its_quota_is_appended() -> None:
    new = replace(
        _OLD,
        quotas=(*_OLD.quotas, _NEW_QUOTA),
        ticket_types=(*_OLD.ticket_types, _NEW_TYPE),
    )
    plan = plan_republication(_OLD, new)
    assert plan.changes == ('quota "new" added', 'ticket type "new" added')
    assert plan.refusals == ()


def test_every_member_of_a_snapshot_is_compared() -> None:
    for name in Snapshot.__struct_fields__:
        value = getattr(_OLD, name)
        other = {int: 77, float: 77.0, str: "x", tuple: (), type(None): 77} | {
            kind: kind() for kind in (Fees, Room)
        }
        plan = plan_republication(_OLD, replace(_OLD, **{name: other[type(value)]}))
        assert plan.changes or plan.refusals, name
