"""Prices on the waiting page, in whatever decimals a currency is usually written."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import MakeRoom


@pytest.mark.parametrize(
    ("currency", "expected"),
    [
        ("RSD", "from RSD 15.00"),
        ("HUF", "from HUF 15.00"),
        ("IDR", "from IDR 15.00"),
        ("PKR", "from PKR 15.00"),
        ("JPY", "from JPY 1,500"),
        ("KWD", "from KWD 1.500"),
        ("EUR", "from €15.00"),
    ],
)
async def test_a_price_is_shown_in_the_units_it_is_charged_in(
    make_room: MakeRoom, currency: str, expected: str
) -> None:
    room = await make_room(currency=currency)
    page = await room.visit()
    await expect(page.locator("body")).to_have_attribute("data-view", "pre-queue")
    price = page.locator("#left li", has_text="Standing").locator(".price")
    await expect(price).to_have_text(expected)
