"""What can never be charged is refused by name when it is loaded, and again at publication."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.catalogue.charging import objections
from engine.catalogue.files import read_event
from engine.catalogue.problems import InvalidDocumentError
from engine.catalogue.publish import check_sellable
from engine.core.errors import ConflictError
from engine.sale.inventory.snapshot import Tier
from tests.catalogue.documents import event, written
from tests.houses import small_house

FEES = {"platform_per_ticket": "0.50", "payment_percent": "1.4", "payment_fixed": "0.25"}


def document(
    currency: str, price: str, *, fees: Any = None, tax: str = "0", **kind: Any
) -> dict[str, Any]:
    made = event()
    made["event"] |= {"currency": currency, "tax_percent": tax}
    made["ticket_types"] = [{"code": "ga", "name": "GA", "quantity": 1_000, "price": price, **kind}]
    if fees:
        made["fees"] = fees
    del made["allocations"]
    return made


def problems(directory: Path, made: Any) -> dict[str, str]:
    try:
        read_event(written(directory, made))
    except InvalidDocumentError as error:
        return {problem.path: problem.message for problem in error.problems}
    return {}


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (document("EUR", "0.20"), "1 ticket would cost 0.20 EUR in all, below the 0.50 EUR"),
        (document("EUR", "0.49"), "below the 0.50 EUR"),
        (document("EUR", "0.20", min_per_order=2), "2 tickets would cost 0.40 EUR"),
        (document("GBP", "0.29"), "below the 0.30 GBP"),
        (document("HUF", "100.00"), "below the 175.00 HUF"),
        (document("SEK", "1.00"), "below the 3.00 SEK"),
        (document("JPY", "49"), "below the 50 JPY"),
        (document("EUR", "1000000.00", max_per_order=1), "1 ticket would cost 1000000.00 EUR"),
        (document("EUR", "100000.00"), "10 tickets would cost 1000000.00 EUR in all, above the"),
        (document("EUR", "99999.99", tax="7"), "above the 999999.99 EUR"),
        (document("EUR", "99999.99", fees=FEES), "above the 999999.99 EUR"),
        (document("JPY", "10000000"), "10 tickets would cost 100000000 JPY"),
        (document("IDR", "1000000000.00"), "above the 9999999999.99 IDR"),
        (document("KWD", "4.255"), "1 ticket would cost 4.255 KWD in all, and the payment"),
        (document("BHD", "4.001", min_per_order=2, max_per_order=2), "multiples of 0.010 BHD"),
        (document("TND", "4.250", fees={"platform_per_ticket": "0.005"}), "multiples of 0.010"),
        (document("OMR", "4.250", fees={"payment_fixed": "0.001"}), "multiples of 0.010 OMR"),
        (document("CUP", "20.00"), "does not take CUP"),
    ],
    ids=str,
)
def test_what_can_never_be_charged_is_refused_by_name(
    tmp_path: Path, made: dict[str, Any], says: str
) -> None:
    found = problems(tmp_path, made)
    assert says in found["ticket_types[0].price"], found
    assert len(found) == 1


@pytest.mark.parametrize(
    "made",
    [
        document("EUR", "0.50"),
        document("EUR", "0"),
        document("CUP", "0"),
        document("KWD", "0", fees={"platform_per_ticket": "0.005"}),
        document("EUR", "0.20", min_per_order=3),
        document("EUR", "0.20", fees={"platform_per_ticket": "0.30"}),
        document("EUR", "0.40", fees={"payment_fixed": "0.10"}),
        document("EUR", "0.48", tax="5"),
        document("EUR", "999999.99", max_per_order=1),
        document("EUR", "500000.00", max_per_buyer=1),
        document("EUR", "500000.00", quantity=1),
        document("IDR", "1500000.00"),
        document("JPY", "5000"),
        document("RSD", "1500.00"),
        document("KWD", "4.250"),
        document("KWD", "4.255", min_per_order=2, max_per_order=2),
        document("KWD", "4.250", tax="7.77", fees={"platform_percent": "3.33"}),
    ],
    ids=str,
)
def test_what_can_be_charged_in_any_quantity_is_taken(tmp_path: Path, made: dict[str, Any]) -> None:
    assert problems(tmp_path, made) == {}


def test_each_tier_is_named(tmp_path: Path) -> None:
    made = document("EUR", "20.00")
    del made["ticket_types"][0]["price"]
    made["ticket_types"][0]["tiers"] = [
        {"code": "early", "price": "0.10", "quantity": 3},
        {"code": "regular", "price": "20.00"},
        {"code": "gold", "price": "400000.00", "quantity": 2},
        {"code": "sponsor", "price": "400000.00"},
    ]
    found = problems(tmp_path, made)
    assert sorted(found) == ["ticket_types[0].tiers[0].price", "ticket_types[0].tiers[3].price"]


def test_seats_bound_what_one_order_may_have(tmp_path: Path) -> None:
    made = event()
    made["ticket_types"][2]["price"] = "200000.00"  # the balcony has 4 seats
    assert problems(tmp_path, made) == {}
    made["ticket_types"][2]["price"] = "300000.00"
    assert "4 tickets would cost" in problems(tmp_path, made)["ticket_types[2].price"]


def test_the_largest_mix_is_told_and_not_refused(tmp_path: Path) -> None:
    made = document("EUR", "90000.00", max_per_order=6)
    made["ticket_types"].append(
        {"code": "vip", "name": "VIP", "quantity": 5, "price": "150000.00", "max_per_order": 5}
    )
    (notice,) = read_event(written(tmp_path, made)).notices[-1:]
    assert "10 tickets would cost 1200000.00 EUR" in notice
    assert "refused at checkout" in notice


def test_broken_members_are_told_as_such_alone(tmp_path: Path) -> None:
    broken: list[dict[str, Any]] = [
        *({"min_per_order": "x"}, {"max_per_order": 0}, {"price": "x"}, {"quantity": []})
    ]
    for changes in broken:
        made = document("EUR", "20.00")
        made["ticket_types"][0] |= changes
        assert [f"ticket_types[0].{name}" for name in changes] == list(problems(tmp_path, made))


def test_addresses_of_an_event_file_are_checked_like_all_others(tmp_path: Path) -> None:
    made = event()
    made["organization"]["email"] = "a..b@example.org"
    made["venue"]["contact"] = {"email": "ädä@example.org"}
    assert sorted(problems(tmp_path, made)) == ["organization.email", "venue.contact.email"]


def test_publication_refuses_it_too() -> None:
    house = small_house()
    assert list(objections(house)) == []
    check_sellable(house)
    kind = house.ticket_types[3]
    wrong = type(kind)(
        **{name: getattr(kind, name) for name in kind.__struct_fields__}
        | {
            "tiers": (
                Tier(code="full", name="Full", price=0),
                Tier(code="x", name="X", price=30_000_000),
            )
        }
    )
    types = (*house.ticket_types[:3], wrong, *house.ticket_types[4:])
    with pytest.raises(
        ConflictError, match=r'"standing", tier "x": 4 tickets|6 tickets would cost'
    ):
        check_sellable(small_house(ticket_types=types))
