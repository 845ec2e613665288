from __future__ import annotations

from typing import Any

import pytest
import stripe

from devkit.stripe.errors import ApiError
from devkit.stripe.forms import Params, decode, pairs
from devkit.stripe.objects import Intent
from devkit.stripe.shelf import Shelf
from tests.payments.conftest import intent_params


async def made(shop: stripe.StripeClient, count: int) -> list[str]:
    """Create intents; return their ids, newest first."""
    ids = [
        (await shop.v1.payment_intents.create_async(intent_params(amount=100 + n))).id
        for n in range(count)
    ]
    return ids[::-1]


def ids_of(page: Any) -> list[str]:
    return [item.id for item in page.data]


async def test_pages_follow_each_other_in_both_directions(shop: stripe.StripeClient) -> None:
    ids = await made(shop, 7)
    first = await shop.v1.payment_intents.list_async({"limit": 3})
    assert (ids_of(first), first.has_more) == (ids[:3], True)
    second = await shop.v1.payment_intents.list_async({"limit": 3, "starting_after": ids[2]})
    assert (ids_of(second), second.has_more) == (ids[3:6], True)
    last = await shop.v1.payment_intents.list_async({"limit": 3, "starting_after": ids[5]})
    assert (ids_of(last), last.has_more) == (ids[6:], False)
    back = await shop.v1.payment_intents.list_async({"limit": 3, "ending_before": ids[5]})
    assert (ids_of(back), back.has_more) == (ids[2:5], True)
    start = await shop.v1.payment_intents.list_async({"limit": 3, "ending_before": ids[1]})
    assert (ids_of(start), start.has_more) == (ids[:1], False)


async def test_the_library_pages_through_everything(shop: stripe.StripeClient) -> None:
    ids = await made(shop, 25)
    page = await shop.v1.payment_intents.list_async({"limit": 10})
    assert [item.id async for item in page.auto_paging_iter()] == ids


@pytest.mark.parametrize(
    "params", [{"limit": 0}, {"limit": 101}, {"starting_after": "pi_none"}, {"created": {"x": 1}}]
)
async def test_wrong_cursors_and_limits_are_refused(
    shop: stripe.StripeClient, params: dict[str, Any]
) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        await shop.raw_request_async("get", "/v1/payment_intents", **params)


async def test_lists_expand_within_their_items(shop: stripe.StripeClient) -> None:
    await shop.v1.payment_intents.create_async(
        intent_params(payment_method="pm_card_visa", confirm=True)
    )
    page = await shop.v1.payment_intents.list_async({"expand": ["data.latest_charge"]})
    assert isinstance(page.data[0].latest_charge, stripe.Charge)


def shelf_of(*created: int, limit: int = 100, forget: bool = False) -> Shelf[Intent]:
    shelf: Shelf[Intent] = Shelf("payment_intent", limit=limit, forget=forget)
    for number, at in enumerate(created):
        shelf.put(Intent(id=f"pi_{number}", created=at, amount=1, currency="eur", client_secret=""))
    return shelf


def page_of(shelf: Shelf[Intent], query: str) -> list[str]:
    return [item.id for item in shelf.page(Params(decode(pairs(query))))[0]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("created[gte]=20", ["pi_3", "pi_2", "pi_1"]),
        ("created[gt]=20", ["pi_3"]),
        ("created[lte]=20", ["pi_2", "pi_1", "pi_0"]),
        ("created[lt]=20", ["pi_0"]),
        ("created[gt]=10&created[lt]=30", ["pi_2", "pi_1"]),
        ("created=20", ["pi_2", "pi_1"]),
        ("created[gte]=20&starting_after=pi_2", ["pi_1"]),
        ("created[gte]=31", []),
    ],
)
def test_lists_are_bounded_by_the_time_of_creation(query: str, expected: list[str]) -> None:
    assert page_of(shelf_of(10, 20, 20, 30), query) == expected


def test_a_full_shelf_refuses_and_a_forgetful_one_drops_the_oldest() -> None:
    with pytest.raises(ApiError, match="at most 2"):
        shelf_of(1, 2, limit=2).check_room()
    shelf = shelf_of(*range(5_000), limit=3, forget=True)
    assert len(shelf) == 3
    assert [item.id for item in shelf] == ["pi_4997", "pi_4998", "pi_4999"]
    assert page_of(shelf, "limit=100") == ["pi_4999", "pi_4998", "pi_4997"]
    assert page_of(shelf, "starting_after=pi_4999") == ["pi_4998", "pi_4997"]
    with pytest.raises(ApiError):
        shelf.get("pi_4996")
