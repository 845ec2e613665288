from __future__ import annotations

import pytest

from engine.core.currencies import AMOUNT_MAX, EXPONENTS, minor_units


@pytest.mark.parametrize(
    ("text", "exponent", "amount"),
    [
        *(("45.00", 2, 4500), ("45.5", 2, 4550), ("45", 2, 4500), ("0", 2, 0), ("0.01", 2, 1)),
        *(("45", 0, 45), ("1.234", 3, 1234), ("1.2", 3, 1200), ("10000000000", 2, AMOUNT_MAX)),
    ],
)
def test_decimals_become_minor_units(text: str, exponent: int, amount: int) -> None:
    assert minor_units(text, exponent) == amount


@pytest.mark.parametrize(
    ("text", "exponent"),
    [
        *(("45.001", 2), ("45.0", 0), ("10000000000.01", 2), ("-1", 2), ("+1", 2), ("", 2)),
        *((".5", 2), ("5.", 2), ("1e3", 2), ("1,5", 2), ("01", 2), ("٣", 2), ("1 ", 2), ("1\n", 2)),
    ],
)
def test_anything_else_is_refused(text: str, exponent: int) -> None:
    with pytest.raises(ValueError, match=r"is not a decimal|has more than|is too large"):
        minor_units(text, exponent)


def test_exponents_are_those_of_iso_4217() -> None:
    assert {EXPONENTS[code] for code in ("EUR", "USD", "INR", "NGN")} == {2}
    assert (EXPONENTS["JPY"], EXPONENTS["KWD"]) == (0, 3)
    assert not {"ISK", "MGA", "UGX"} & EXPONENTS.keys()
