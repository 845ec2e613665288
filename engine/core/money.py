"""Amounts and the arithmetic of an order's total.

An amount is an integer in the minor unit of its currency (cents, or whole yen).
Rates are integers in basis points (1/100 of a percent). Halves round up, and
nothing here is a float.
"""

from __future__ import annotations

from typing import Final

import msgspec

from engine.core.currencies import EXPONENTS

BASIS_POINTS = 10_000
_SIGNS: Final = {"EUR": "€", "GBP": "£"}  # those that mean one currency only
_NO_BREAK: Final = "\u00a0"


class Fees(msgspec.Struct, frozen=True, kw_only=True):
    """What is added to the price of tickets.

    ``*_bp``: basis points; the others: minor units of the occurrence's currency.
    """

    platform_percent_bp: int = 0
    platform_per_ticket: int = 0
    payment_percent_bp: int = 0
    payment_fixed: int = 0


class Total(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of an order's total, all in minor units."""

    subtotal: int
    discount: int
    platform_fee: int
    payment_fee: int
    tax: int
    total: int


def display(amount: int, currency: str) -> str:
    """Return an amount in minor units as people read it: (4500, "EUR") -> "€45.00".

    The decimals are those of the minor unit (ISO 4217), which is what amounts are counted in;
    other tables, of how many decimals people usually write, have fewer for some currencies. A
    currency of any case; between its code and the number there is a no-break space. Raises
    ``KeyError`` for an unknown currency.
    """
    code = currency.upper()
    exponent = EXPONENTS[code]
    whole, part = divmod(abs(amount), 10**exponent)
    text = f"{whole:,}.{part:0{exponent}}" if exponent else f"{whole:,}"
    sign = _SIGNS.get(code, f"{code}{_NO_BREAK}")
    return f"{'-' if amount < 0 else ''}{sign}{text}"


def share(amount: int, rate_bp: int, step: int = 1) -> int:
    """Return ``rate_bp`` of ``amount`` as a multiple of ``step``, halves rounded up."""
    unit = 2 * BASIS_POINTS * step
    return (amount * rate_bp * 2 + BASIS_POINTS * step) // unit * step


def order_total(
    subtotal: int,
    tickets: int,
    *,
    fees: Fees,
    tax_rate_bp: int,
    discount: int = 0,
    step: int = 1,
) -> Total:
    """Return total = subtotal - discount + platform fee + payment fee + tax.

    Tax is a rate on ``subtotal - discount``. The payment fee is a rate on what
    the buyer would pay without it, plus its fixed part. When the tickets cost
    nothing, so does everything else. What is reckoned by a rate is rounded to
    ``step``, in which the provider charges the currency (10 for those with three
    decimals), so that a rate never makes a total that cannot be charged.
    """
    if discount > subtotal:
        raise ValueError("a discount cannot exceed the subtotal")
    net = subtotal - discount
    if net == 0:
        return Total(
            subtotal=subtotal, discount=discount, platform_fee=0, payment_fee=0, tax=0, total=0
        )
    platform_fee = share(net, fees.platform_percent_bp, step) + fees.platform_per_ticket * tickets
    tax = share(net, tax_rate_bp, step)
    payment_share = share(net + platform_fee + tax, fees.payment_percent_bp, step)
    payment_fee = payment_share + fees.payment_fixed
    return Total(
        subtotal=subtotal,
        discount=discount,
        platform_fee=platform_fee,
        payment_fee=payment_fee,
        tax=tax,
        total=net + platform_fee + payment_fee + tax,
    )
