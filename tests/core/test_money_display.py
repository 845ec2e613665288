from __future__ import annotations

import pytest

from engine.core.currencies import EXPONENTS
from engine.core.money import display

SPACE = "\u00a0"


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [
        (4500, "EUR", "€45.00"),
        (1250, "eur", "€12.50"),
        (5, "EUR", "€0.05"),
        (0, "EUR", "€0.00"),
        (-1250, "EUR", "-€12.50"),
        (123456789, "GBP", "£1,234,567.89"),
        (1999, "USD", f"USD{SPACE}19.99"),
        (1500, "JPY", f"JPY{SPACE}1,500"),
        (0, "JPY", f"JPY{SPACE}0"),
        (12345, "KWD", f"KWD{SPACE}12.345"),
        (5, "BHD", f"BHD{SPACE}0.005"),
        # people seldom write decimals in these, but amounts are counted in hundredths
        (150000, "RSD", f"RSD{SPACE}1,500.00"),
        (990000, "HUF", f"HUF{SPACE}9,900.00"),
        (15000000, "IDR", f"IDR{SPACE}150,000.00"),
        (250000, "PKR", f"PKR{SPACE}2,500.00"),
        (250050, "PKR", f"PKR{SPACE}2,500.50"),
    ],
)
def test_amounts_as_people_read_them(amount: int, currency: str, expected: str) -> None:
    assert display(amount, currency) == expected


@pytest.mark.parametrize("currency", EXPONENTS)
@pytest.mark.parametrize("amount", [0, 1, 99, 100, 12345, 10**12])
def test_every_currency_is_written_in_the_units_it_is_counted_in(
    currency: str, amount: int
) -> None:
    text = display(amount, currency)
    number = text.removeprefix("€").removeprefix("£").removeprefix(f"{currency}{SPACE}")
    whole, _, decimals = number.partition(".")
    assert len(decimals) == EXPONENTS[currency]
    # nothing is lost and nothing multiplied: back in minor units it is the amount
    assert int(whole.replace(",", "") + decimals) == amount
    assert display(-amount, currency) == (f"-{text}" if amount else text)


def test_a_currency_that_there_is_not_has_no_display() -> None:
    with pytest.raises(KeyError):
        display(1, "XXX")
