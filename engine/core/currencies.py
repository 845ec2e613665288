"""Currencies (ISO 4217) and how many decimals the minor unit of each has.

Left out are those whose minor unit payment providers count otherwise than ISO
does (ISK, MGA, UGX): an amount would be charged a hundredfold.
"""

from __future__ import annotations

import re
from typing import Final

AMOUNT_MAX: Final = 10**12  # minor units; far above any price, far below what bigint sums overflow

_WITHOUT_DECIMALS: Final = "BIF CLP DJF GNF JPY KMF KRW PYG RWF VND VUV XAF XOF XPF"
_WITH_THREE: Final = "BHD JOD KWD OMR TND"
_WITH_TWO: Final = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF"
    " CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD"
    " HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL"
    " MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN"
    " QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP"
    " TRY TTD TWD TZS UAH USD UYU UZS VES WST XCD YER ZAR ZMW"
)

EXPONENTS: Final[dict[str, int]] = {
    code: exponent
    for codes, exponent in ((_WITHOUT_DECIMALS, 0), (_WITH_TWO, 2), (_WITH_THREE, 3))
    for code in codes.split()
}

_DECIMAL = re.compile(r"(0|[1-9][0-9]{0,11})(?:\.([0-9]{1,4}))?")


def minor_units(text: str, exponent: int) -> int:
    """Return a decimal such as ``"45.00"`` as an integer of its ``exponent``-th decimal.

    Raises :class:`ValueError` with a sentence when it is not a plain decimal,
    has more decimals than ``exponent``, or is above :data:`AMOUNT_MAX`.
    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise ValueError(f'{text!r} is not a decimal such as "45.00"')
    whole, decimals = match[1], match[2] or ""
    if len(decimals) > exponent:
        raise ValueError(f"{text!r} has more than {exponent} decimals")
    amount = int(whole + decimals.ljust(exponent, "0"))
    if amount > AMOUNT_MAX:
        raise ValueError(f"{text!r} is too large")
    return amount
