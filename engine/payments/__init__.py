"""Taking and giving back money, behind :mod:`engine.payments.provider`."""

from __future__ import annotations

from engine.core.charges import ChargeLimits
from engine.core.settings import Settings
from engine.payments import stripe_limits
from engine.payments.provider import PaymentProvider


def make_provider(settings: Settings) -> PaymentProvider:
    """Return the provider that the settings name. Call ``close()`` at the end."""
    # its library takes a while to import, and what only asks for limits does not need it
    from engine.payments.stripe import StripeProvider

    return StripeProvider.from_settings(settings)


def charge_limits(currency: str) -> ChargeLimits:
    """Return what the provider of :func:`make_provider` can charge in a currency (ISO 4217)."""
    return stripe_limits.charge_limits(currency)
