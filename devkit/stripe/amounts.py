"""Currencies and the amounts that may be charged in them, in minor units."""

from __future__ import annotations

from devkit.stripe.errors import invalid

AMOUNT_MAX = 99_999_999
_AMOUNT_MAX_OF = {"idr": 999_999_999_999}
_ZERO = "bif clp djf gnf jpy kmf krw mga pyg rwf ugx vnd vuv xaf xof xpf"
_THREE = "bhd jod kwd omr tnd"
_TWO = """
    aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bmd bnd bob brl bsd bwp byn bzd cad
    cdf chf cny cop crc cve czk dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gtq gyd hkd hnl
    htg huf idr ils inr isk jmd kes kgs khr kyd kzt lak lbp lkr lrd lsl mad mdl mkd mmk mnt mop
    mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd pab pen pgk php pkr pln qar ron rsd rub sar
    sbd scr sek sgd shp sle sos srd std szl thb tjs top try ttd twd tzs uah usd uyu uzs wst xcd
    yer zar zmw
"""
_CURRENCIES = frozenset(f"{_ZERO} {_TWO} {_THREE}".split())  # by decimals: none, two, three
_STEP = {**dict.fromkeys(_THREE.split(), 10), "isk": 100, "ugx": 100}
_MINIMUM = {
    **dict.fromkeys(("usd", "aud", "brl", "cad", "chf", "eur", "inr", "nzd", "sgd", "jpy"), 50),
    **dict.fromkeys(("aed", "myr", "pln", "ron"), 200),
    **dict.fromkeys(("nok", "sek"), 300),
    **dict.fromkeys(("mxn", "thb"), 1_000),
    "bgn": 100,
    "czk": 1_500,
    "dkk": 250,
    "gbp": 30,
    "hkd": 400,
    "huf": 17_500,
}


def check_currency(currency: str) -> str:
    """Return the currency's code in lower case. Raises ``ApiError``."""
    code = currency.lower()
    if code not in _CURRENCIES:
        raise invalid(f"Invalid currency: {code[:16]}", param="currency")
    return code


def check_amount(amount: int, currency: str) -> int:
    """Return an amount that may be charged. Raises ``ApiError``."""
    if amount < 1:
        raise invalid("Invalid positive integer", param="amount", code="parameter_invalid_integer")
    if amount < _MINIMUM.get(currency, 1):
        least = _MINIMUM[currency]
        raise invalid(
            f"Amount must be at least {least} in the minor unit of {currency}",
            param="amount",
            code="amount_too_small",
        )
    most = _AMOUNT_MAX_OF.get(currency, AMOUNT_MAX)
    if amount > most:
        raise invalid(
            f"Amount must be no more than {most}", param="amount", code="amount_too_large"
        )
    step = _STEP.get(currency, 1)
    if amount % step:
        raise invalid(
            f"Amounts in {currency} must be a multiple of {step}",
            param="amount",
            code="invalid_amount",
        )
    return amount
