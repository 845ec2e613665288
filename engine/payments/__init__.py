"""Taking and giving back money, behind :mod:`engine.payments.provider`."""

from __future__ import annotations

from engine.payments.provider import PaymentProvider
from engine.payments.stripe import StripeProvider
from engine.settings import Settings


def make_provider(settings: Settings) -> PaymentProvider:
    """Return the provider that the settings name. Call ``close()`` at the end."""
    return StripeProvider.from_settings(settings)
