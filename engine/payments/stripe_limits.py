"""What Stripe can charge, by currency, in the minor units in which its API counts.

Figures as published at https://docs.stripe.com/currencies (sections "Supported
presentment currencies", "Three-decimal currencies", "Special cases", "Minimum
and maximum charge amounts"). The minimum is published by settlement currency:
it holds where an account settles in the currency of the sale. For a currency
that has none the minimum depends on the day's rate; what Stripe refuses then is
a final refusal and ends the order at once. HUF and TWD are without decimals for
payouts only, so they have no step here.
"""

from __future__ import annotations

from typing import Final

from engine.core.charges import ChargeLimits

_DIGITS_8: Final = 99_999_999
_DIGITS_12: Final = 999_999_999_999
_MAXIMUM: Final = {"IDR": _DIGITS_12}

_MINIMUM: Final = {
    **dict.fromkeys(("USD", "AUD", "BRL", "CAD", "CHF", "EUR", "INR", "NZD", "SGD", "JPY"), 50),
    **dict.fromkeys(("AED", "MYR", "PLN", "RON"), 200),
    **dict.fromkeys(("NOK", "SEK"), 300),
    **dict.fromkeys(("MXN", "THB"), 1_000),
    "BGN": 100,
    "CZK": 1_500,
    "DKK": 250,
    "GBP": 30,
    "HKD": 400,
    "HUF": 17_500,
}

_STEP: Final = {
    **dict.fromkeys(("BHD", "JOD", "KWD", "OMR", "TND"), 10),  # the last of three decimals is 0
    **dict.fromkeys(("ISK", "UGX"), 100),  # counted with two decimals, charged without
}

_CODES: Final = (
    "USD AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD"
    " BWP BYN BZD CAD CDF CHF CLP CNY COP CRC CVE CZK DJF DKK DOP DZD EGP ETB EUR FJD FKP GBP"
    " GEL GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR ISK JMD JOD JPY KES KGS KHR KMF KRW"
    " KWD KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MUR MVR MWK MXN MYR MZN NAD"
    " NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SEK"
    " SGD SHP SLE SOS SRD STD SZL THB TJS TND TOP TRY TTD TWD TZS UAH UGX UYU UZS VND VUV WST"
    " XAF XCD XOF XPF YER ZAR ZMW"
)
_TAKEN: Final = frozenset(_CODES.split())


def charge_limits(currency: str) -> ChargeLimits:
    """Return what can be charged in a currency (ISO 4217)."""
    code = currency.upper()
    return ChargeLimits(
        minimum=_MINIMUM.get(code, 1),
        maximum=_MAXIMUM.get(code, _DIGITS_8),
        step=_STEP.get(code, 1),
        supported=code in _TAKEN,
    )
